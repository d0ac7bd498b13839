import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { bindListener, type SocketAccess } from '../../bind-listener.ts';
import type { Check } from '../../check/check.ts';
import { createNetworks } from '../../networks.ts';
import { createAnswerCheck } from './answer.ts';
import { createTurnAway } from './client-fault.ts';
import { createConnections } from './connections.ts';
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
  readonly onError: (error: unknown, fault: 'check' | 'warm-up') => void;
  readonly tuning?: Partial<CheckDoorTuning>;
}

export interface CheckDoorTuning {
  /** Request line and headers together, in bytes. Default 64 KiB, above the 60 KiB that Envoy takes of its clients. */
  readonly maxHeaderBytes: number;
  /** Default 4 MiB, as of a gRPC message. */
  readonly maxBodyBytes: number;
  /** For the headers of a request, in milliseconds. Default 10 000. */
  readonly headersTimeoutMs: number;
  /** For a request as a whole, in milliseconds. Default 15 000. */
  readonly requestTimeoutMs: number;
  /**
   * Quiet time after which a connection is closed, in milliseconds. Default a minute more than the hour for which Envoy
   * keeps one: a proxy that writes on a connection which is just being closed has lost its request.
   */
  readonly keepAliveMs: number;
  /** More are turned away at once. Default 10 000. */
  readonly maxConnections: number;
  /** Requests that the door makes of itself before it is started. Default 100; 0 for none. */
  readonly warmUpRequests: number;
}

const defaultTuning: CheckDoorTuning = {
  maxHeaderBytes: 64 * 1024,
  maxBodyBytes: 4 * 1024 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
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

/** The HTTP door: the same Check as through gRPC, asked by `node:http` and nothing in between. */
export function createCheckDoor(options: CheckDoorOptions): CheckDoor {
  const { address, profile, check, realm, credentialHeaders, recordOutcome } = options;
  const tuning = { ...defaultTuning, ...options.tuning };
  const isTrusted = address.startsWith('unix:') ? () => true : createNetworks(options.trust);
  const answerCheck = createAnswerCheck({ profile, credentialHeaders, realm });
  const headers = new Set([...options.headers, ...credentialHeaders]);
  const { arrive, whenAnswered } = createConnections(isTrusted);
  let stopping: Promise<void> | undefined;

  const handlerOptions = {
    readRequest: createReadRequest({ profile, headers, now: Date.now, onUntrusted: options.onUntrusted }),
    check,
    answerCheck,
    arrive,
    maxBodyBytes: tuning.maxBodyBytes,
    onError: (error: unknown) => options.onError(error, 'check'),
    isLeaving: () => stopping !== undefined,
  };
  const server = createServer(
    {
      maxHeaderSize: tuning.maxHeaderBytes,
      headersTimeout: tuning.headersTimeoutMs,
      requestTimeout: tuning.requestTimeoutMs,
      keepAliveTimeout: tuning.keepAliveMs,
      connectionsCheckingInterval: Math.min(1000, tuning.headersTimeoutMs),
      noDelay: true,
      // Of TCP: for peers that are gone without a word.
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    },
    createCheckHandler({ ...handlerOptions, recordOutcome }),
  );
  // Node passes over what is beyond its 2000 headers, without a word: there a second credential could hide, or a
  // forged name. Their size is bounded.
  server.maxHeadersCount = 0;
  server.maxConnections = tuning.maxConnections;
  const turnAway = createTurnAway({ answerCheck, whenAnswered });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => turnAway(error, socket as Socket));
  // Node's own answer would go on with the connection, and take the body that was held back for the next request.
  server.on('checkExpectation', (_request, response) => {
    response.writeHead(417, ['content-length', '0', 'connection', 'close']).end();
  });
  // Not a method that a gateway asks about. Without a listener for `upgrade` such a request is one like any other.
  server.on('connect', (_request, socket) => turnAway(new Error('CONNECT'), socket as Socket));

  return {
    async start() {
      await warmUp(createCheckHandler({ ...handlerOptions, recordOutcome: () => undefined }), {
        profile,
        requests: tuning.warmUpRequests,
        onError: (error) => options.onError(error, 'warm-up'),
      });
      return bindListener(server, address, options.socketAccess ?? { mode: 0o660 });
    },
    stop: (how) => (stopping ??= stop(server, how)),
  };
}

async function stop(server: Server, { drainDelayMs, graceMs, signal }: CheckDoorStop): Promise<void> {
  if (!server.listening) return;
  await delay(drainDelayMs, undefined, { ...(signal && { signal }) }).catch(() => undefined);
  await new Promise<void>((resolve) => {
    const force = () => server.closeAllConnections();
    const timer = setTimeout(force, graceMs);
    signal?.addEventListener('abort', force);
    server.close(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', force);
      resolve();
    });
    server.closeIdleConnections();
    if (signal?.aborted === true) force();
  });
}
