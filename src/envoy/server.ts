import { setTimeout as delay } from 'node:timers/promises';
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { SocketAccess } from '../bind-listener.ts';
import type { Check } from '../check/check.ts';
import { authorizationDefinition } from './authorization.ts';
import { type Certificates, openCertificates, type TlsFiles } from './certificates.ts';
import { createCheckHandler, type RecordOutcome } from './check-handler.ts';
import { createReadCheckRequest } from './check-request.ts';
import { createEncodeCheckResponse } from './check-response.ts';
import { createHealth } from './health.ts';
import { type Listener, listen } from './listener.ts';
import { createTransport, type Transport, type TransportKind, type TransportTuning } from './transport.ts';
import { warmUp } from './warm-up.ts';

/** A further gRPC service on the same port: rate limit service, access log sink, ... */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /** Ends its streams, when the server drains: Envoy's access log streams never end by themselves. */
  readonly end?: () => void;
}

/** Where something went wrong that had no caller to be told. */
export type ServerFault = 'check' | 'transport' | 'certificates' | 'warm-up';

export interface EnvoyServerOptions {
  /** `host:port`, `[IPv6]:port` or `unix:PATH`; port 0 lets the system choose. */
  readonly address: string;
  /** Of a Unix socket. Default 0o660: Envoy shares the group (`fsGroup`). */
  readonly socketAccess?: SocketAccess | undefined;
  /** Absent: no TLS. */
  readonly tls?: TlsFiles | undefined;
  readonly check: Check;
  /** Lower-case names of the headers that some stage reads; no other is decoded. Credential headers are among them anyway. */
  readonly headers: readonly string[];
  /** Lower-case names of the headers that carry access tokens: never to reach a model. */
  readonly credentialHeaders: readonly string[];
  /** Of `WWW-Authenticate`. */
  readonly realm: string;
  readonly recordOutcome: RecordOutcome;
  /** For the log. Must not throw. */
  readonly onError: (error: unknown, fault: ServerFault) => void;
  readonly services?: readonly GrpcService[];
  /** Default `tiergate`. */
  readonly transport?: TransportKind | undefined;
  readonly tuning?: Partial<EnvoyServerTuning>;
}

export interface EnvoyServerTuning extends TransportTuning {
  /** How often the files of `tls` are looked at, in milliseconds. Default 10 000. */
  readonly certificatePollMs: number;
  /** Checks that the server makes of itself before it is started. Default 100; 0 for none. */
  readonly warmUpCalls: number;
}

const defaultTuning: EnvoyServerTuning = {
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
  maxConnectionAgeMs: Number.POSITIVE_INFINITY,
  maxConnectionAgeGraceMs: 30_000,
  maxMessageBytes: 4 * 1024 * 1024,
  certificatePollMs: 10_000,
  warmUpCalls: 100,
};

export interface StopOptions {
  /** How long calls are still taken after health said NOT_SERVING, in milliseconds: until the last Envoy has noticed. */
  readonly drainDelayMs: number;
  /** How long calls under way may take after that, in milliseconds; then they are cut off. */
  readonly graceMs: number;
  /** Aborted: no more waiting, all calls are cut off at once. */
  readonly signal?: AbortSignal;
}

export interface EnvoyServer {
  /**
   * Binds, warms up, and takes calls from then on; health goes on saying NOT_SERVING. Rejects if the address can not
   * be had or the TLS files can not be used. Resolves to the address, with the port that it got.
   */
  readonly start: () => Promise<string>;
  /** What health says: false until the first call, and from `stop` on whatever is said here. */
  readonly setServing: (isServing: boolean) => void;
  /** Looks at the TLS files at once, not at the next poll. Never rejects. */
  readonly reloadCertificates: () => Promise<void>;
  /** NOT_SERVING, a wait, the end of streams, the end of calls, force. Asked again, gives the same promise; never rejects. */
  readonly stop: (options: StopOptions) => Promise<void>;
}

/** The gRPC door: Check, health and further services, on TCP or a Unix socket, with or without TLS. */
export function createEnvoyServer(options: EnvoyServerOptions): EnvoyServer {
  const tuning = { ...defaultTuning, ...options.tuning };
  const services = options.services ?? [];
  const codec = {
    readCheckRequest: createReadCheckRequest({
      headers: new Set([...options.headers, ...options.credentialHeaders]),
    }),
    encodeCheckResponse: createEncodeCheckResponse(options),
    check: options.check,
    onError: (error: unknown) => options.onError(error, 'check'),
  };
  const health = createHealth(
    [authorizationDefinition, ...services.map(({ definition }) => definition)].map(serviceName),
  );
  const shared = {
    services: [{ definition: health.definition, implementation: { ...health.implementation } }, ...services],
    tuning,
    onError: (error: unknown) => options.onError(error, 'transport'),
  };
  const kind = options.transport ?? 'tiergate';
  let transport: Transport | undefined;
  let certificates: Certificates | undefined;
  let listener: Listener | undefined;
  let stopping: Promise<void> | undefined;

  async function start(): Promise<string> {
    const { address, tls } = options;
    if (tls !== undefined) {
      certificates = await openCertificates({
        files: tls,
        pollMs: tuning.certificatePollMs,
        onError: (error) => options.onError(error, 'certificates'),
      });
    }
    await warmUp(
      // Without certificates, which nobody here could show.
      createTransport(kind, {
        handleCheck: createCheckHandler({ ...codec, recordOutcome: () => undefined }),
        ...shared,
        services: [],
      }),
      tuning.warmUpCalls,
      (error) => options.onError(error, 'warm-up'),
    );
    const { accept } = (transport = createTransport(kind, {
      handleCheck: createCheckHandler({ ...codec, recordOutcome: options.recordOutcome }),
      certificates,
      ...shared,
    }));
    try {
      listener = await listen({ address, socketAccess: options.socketAccess ?? { mode: 0o660 }, accept });
    } catch (error) {
      certificates?.close();
      throw error;
    }
    return listener.address;
  }

  async function stop({ drainDelayMs, graceMs, signal }: StopOptions): Promise<void> {
    health.setServing(false);
    await delay(drainDelayMs, undefined, { ...(signal && { signal }) }).catch(() => undefined);
    health.end();
    for (const { end } of services) end?.();
    listener?.close();
    await drain(graceMs, signal);
    // What is left never became a session: TLS handshakes that were not finished.
    listener?.destroyConnections();
    certificates?.close();
  }

  /** Resolves when every call has ended, by itself or, after the grace time or the signal, by force. */
  async function drain(graceMs: number, signal: AbortSignal | undefined): Promise<void> {
    const force = () => listener?.destroyConnections();
    const timer = setTimeout(force, graceMs);
    signal?.addEventListener('abort', force);
    const drained = transport?.drain();
    if (signal?.aborted === true) force();
    await drained;
    clearTimeout(timer);
    signal?.removeEventListener('abort', force);
  }

  return {
    start,
    setServing: (isServing) => health.setServing(isServing && stopping === undefined),
    reloadCertificates: async () => certificates?.reload(),
    stop: (how) => (stopping ??= stop(how)),
  };
}

/** `envoy.service.auth.v3.Authorization`, out of the paths of its methods. */
function serviceName(definition: ServiceDefinition): string {
  return Object.values(definition)[0]?.path.split('/')[1] ?? '';
}
