import { setTimeout as delay } from 'node:timers/promises';
import { bindListener, type SocketAccess } from '../../bind-listener.ts';
import type { Check } from '../../check/check.ts';
import { denied } from '../../check/outcome.ts';
import { createNetworks } from '../../networks.ts';
import { createHttp1Server, type Http1Limits, type Http1Server } from '../http1/server.ts';
import { createAnswerCheck } from './answer.ts';
import { createCheckHandler, type RecordOutcome } from './handler.ts';
import type { CheckDoorProfile } from './profile.ts';
import { createReadRequest } from './read-request.ts';
import { warmUp } from './warm-up.ts';

export interface CheckDoorOptions {
  /** `host:port`, `[IPv6]:port` or `unix:PATH`; port 0 lets the system choose. */
  readonly address: string;
  /** Of a Unix socket. Default 0o660. */
  readonly socketAccess?: SocketAccess | undefined;
  readonly profile: CheckDoorProfile;
  /** Networks (CIDR) or addresses of proxies; whoever may write to a Unix socket is trusted anyway. */
  readonly trust: readonly string[];
  readonly check: Check;
  /** Lower-case names of the headers that some stage reads. Credential headers are among them anyway. */
  readonly headers: readonly string[];
  /** Lower-case names of the headers that carry access tokens: never to reach a model. */
  readonly credentialHeaders: readonly string[];
  /** Of `WWW-Authenticate`. */
  readonly realm: string;
  readonly recordOutcome: RecordOutcome;
  /** Told of every request of a caller that `trust` would have to hold. */
  readonly onUntrusted: () => void;
  /** For the log. Must not throw. */
  readonly onError: (error: unknown, fault: 'check' | 'warm-up' | 'transport') => void;
  readonly tuning?: Partial<CheckDoorTuning>;
}

/** Each has its default in `defaultTuning`. */
export interface CheckDoorTuning extends Http1Limits {
  /** Requests that the door makes of itself before it is started; 0 for none. */
  readonly warmUpRequests: number;
}

const defaultTuning: CheckDoorTuning = {
  // Above the 60 KiB that Envoy takes of its clients.
  maxHeaderBytes: 64 * 1024,
  // As of a gRPC message.
  maxBodyBytes: 4 * 1024 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  // A minute more than the hour for which Envoy keeps a connection: a proxy that writes on one which is just being closed has
  // lost its request.
  keepAliveMs: 3_660_000,
  maxConnections: 10_000,
  warmUpRequests: 100,
};

export interface CheckDoor {
  /** Warms up, binds, and takes requests from then on. Rejects as `bindListener`. Resolves to the address, with its port. */
  readonly start: () => Promise<string>;
  /**
   * Says `Connection: close` with every answer for `drainDelayMs`, then takes no more connections and ends idle ones;
   * what is left after `graceMs`, or when the signal aborts, is cut off. Asked again, gives the same promise; never rejects.
   */
  readonly stop: (options: CheckDoorStop) => Promise<void>;
}

export interface CheckDoorStop {
  readonly drainDelayMs: number;
  readonly graceMs: number;
  readonly signal?: AbortSignal;
}

/** The HTTP door: the same Check as through gRPC, asked over HTTP/1.1. */
export function createCheckDoor(options: CheckDoorOptions): CheckDoor {
  const { address, profile, check, realm, credentialHeaders, recordOutcome } = options;
  const tuning = { ...defaultTuning, ...options.tuning };
  const isTrusted = address.startsWith('unix:') ? () => true : createNetworks(options.trust);
  const headers = new Set([...options.headers, ...credentialHeaders]);
  const readRequest = createReadRequest({
    profile,
    headers,
    now: Date.now,
    onUntrusted: options.onUntrusted,
  });
  const answerCheck = createAnswerCheck({ profile, credentialHeaders, realm });
  const unreadable = answerCheck(denied('request_invalid', 'The request can not be read.'), []);
  /** With the status that the proxy takes for a denial, whatever is configured there. */
  const broken = answerCheck(denied('internal', 'The request could not be checked.'), []);

  function serveWith(record: RecordOutcome): Http1Server {
    const handle = createCheckHandler({
      readRequest,
      check,
      answerCheck,
      recordOutcome: record,
      onError: (error) => options.onError(error, 'check'),
    });
    return createHttp1Server({
      limits: tuning,
      serve: (remoteAddress, answer) =>
        handle({ isTrusted: isTrusted(remoteAddress), address: remoteAddress ?? '' }, answer),
      refusal: (status) => (status === 500 ? broken : { ...unreadable, status }),
      onError: (error) => options.onError(error, 'transport'),
    });
  }

  const server = serveWith(recordOutcome);
  let stopping: Promise<void> | undefined;

  return {
    async start() {
      await warmUp(
        serveWith(() => undefined),
        {
          profile,
          requests: tuning.warmUpRequests,
          onError: (error) => options.onError(error, 'warm-up'),
        },
      );
      return bindListener(server.listener, address, options.socketAccess ?? { mode: 0o660 });
    },
    stop: (how) => (stopping ??= stop(server, how)),
  };
}

async function stop(server: Http1Server, { drainDelayMs, graceMs, signal }: CheckDoorStop): Promise<void> {
  if (!server.listener.listening) return;
  server.leave();
  await delay(drainDelayMs, undefined, { ...(signal && { signal }) }).catch(() => undefined);
  const timer = setTimeout(server.destroyConnections, graceMs);
  signal?.addEventListener('abort', server.destroyConnections);
  const closed = server.close();
  if (signal?.aborted === true) server.destroyConnections();
  await closed;
  clearTimeout(timer);
  signal?.removeEventListener('abort', server.destroyConnections);
}
