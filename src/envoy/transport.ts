import type { Socket } from 'node:net';
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { authorizationDefinition, checkMethod } from './authorization.ts';
import type { Certificates } from './certificates.ts';
import type { HandleCheck } from './check-handler.ts';
import { createGrpcServer } from './grpc/server.ts';
import { methodsOf, rawMethod } from './grpc/services.ts';

/** What speaks gRPC on the connections of the door. */
export interface Transport {
  /** Takes a connection. */
  readonly accept: (socket: Socket) => void;
  /** Tells all clients to go elsewhere; resolves when their calls have ended and their connections are closed. */
  readonly drain: () => Promise<void>;
}

/** `tiergate`: our own (ADR 18). `grpc-js`: the library, at some three times the processor time. */
export type TransportKind = 'tiergate' | 'grpc-js';

export interface TransportOptions {
  readonly handleCheck: HandleCheck;
  readonly services: readonly {
    readonly definition: ServiceDefinition;
    readonly implementation: UntypedServiceImplementation;
  }[];
  /** Absent: no TLS. */
  readonly certificates?: Certificates | undefined;
  readonly tuning: TransportTuning;
  /** Told of bugs: what a handler threw. Must not throw. */
  readonly onError: (error: unknown) => void;
}

export interface TransportTuning {
  /** Quiet time after which a connection is pinged, in milliseconds. Default 30 000. */
  readonly keepaliveMs: number;
  /** How long the answer to a ping may take, in milliseconds, before the connection counts as lost. Default 10 000. */
  readonly keepaliveTimeoutMs: number;
  /**
   * Age at which a connection is told to go (give or take a tenth), in milliseconds. Default: never. For replicas
   * behind a load balancer that spreads connections and not requests: Envoy's own spreads requests.
   */
  readonly maxConnectionAgeMs: number;
  /** What calls on such a connection may still take, in milliseconds, streams included. Default 30 000. */
  readonly maxConnectionAgeGraceMs: number;
  /** The longest message, in bytes; a longer one fails its RPC. Default 4 MiB: a body that Envoy sends along counts. */
  readonly maxMessageBytes: number;
}

/** Of a request to the door; Envoy's own are some hundred bytes. */
const maxHeaderListBytes = 16 * 1024;
/** Of one connection, whose calls hold their memory until they are answered. */
const maxConcurrentStreams = 10_000;

export function createTransport(kind: TransportKind, options: TransportOptions): Transport {
  return kind === 'grpc-js' ? createLibraryTransport(options) : createOwnTransport(options);
}

function createOwnTransport(options: TransportOptions): Transport {
  const { handleCheck, services, certificates, tuning, onError } = options;
  const check = rawMethod((request, { deadlineAtMs }, send) => handleCheck(request, deadlineAtMs, send));
  const { maxMessageBytes } = tuning;
  const methods = new Map([[checkMethod.path, check]]);
  for (const { definition, implementation } of services) {
    for (const [path, open] of methodsOf(definition, implementation)) methods.set(path, open);
  }
  const server = createGrpcServer({
    ...tuning,
    methods,
    limits: { maxMessageBytes, maxHeaderListBytes, maxConcurrentStreams },
    tls: certificates?.tls(),
    onError,
  });
  certificates?.onChange(server.setCertificate);
  return server;
}

function createLibraryTransport(options: TransportOptions): Transport {
  const { handleCheck, services, certificates, tuning } = options;
  const server = new Server(channelOptions(tuning));
  server.addService(authorizationDefinition, {
    Check(
      call: { request: Buffer; getDeadline: () => Date | number },
      callback: (error: null, response: Buffer) => void,
    ) {
      handleCheck(call.request, Number(call.getDeadline()), (response) => callback(null, response));
    },
  });
  for (const { definition, implementation } of services) server.addService(definition, implementation);
  const injector = server.createConnectionInjector(
    certificates?.credentials ?? ServerCredentials.createInsecure(),
  );
  return {
    accept: (socket) => injector.injectConnection(socket),
    drain: () =>
      new Promise((resolve) => {
        server.tryShutdown(() => resolve());
      }),
  };
}

function channelOptions(tuning: TransportTuning) {
  return {
    // Its records of every connection and call are kept for a debugger that never comes, and were a leak before.
    'grpc.enable_channelz': 0,
    'grpc.keepalive_time_ms': tuning.keepaliveMs,
    'grpc.keepalive_timeout_ms': tuning.keepaliveTimeoutMs,
    'grpc.max_receive_message_length': tuning.maxMessageBytes,
    ...(Number.isFinite(tuning.maxConnectionAgeMs) && {
      'grpc.max_connection_age_ms': tuning.maxConnectionAgeMs,
      'grpc.max_connection_age_grace_ms': tuning.maxConnectionAgeGraceMs,
    }),
  };
}
