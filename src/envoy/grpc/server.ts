import type { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { createServer as createTlsServer, type SecureContextOptions, type TlsOptions } from 'node:tls';
import type { Connection } from '../http2/connection.ts';
import { type GrpcLimits, serveConnection } from './serve-connection.ts';
import type { Methods } from './services.ts';

export interface GrpcServerOptions {
  readonly methods: Methods;
  readonly limits: GrpcLimits;
  /** Absent: without TLS. With `requestCert` clients have to show a certificate. */
  readonly tls?: TlsOptions | undefined;
  /** Quiet time after which a connection is pinged, and how long the answer may take, in milliseconds. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  /** Age at which a connection is told to go, give or take a tenth, in milliseconds; then what its calls may take. */
  readonly maxConnectionAgeMs: number;
  readonly maxConnectionAgeGraceMs: number;
  /** Told of what a handler threw; its call failed. Must not throw. */
  readonly onError: (error: unknown) => void;
}

export interface GrpcServer {
  /** Takes a connection that was accepted. */
  readonly accept: (socket: Socket) => void;
  /** For new connections. */
  readonly setCertificate: (tls: SecureContextOptions) => void;
  /** Tells every connection to go elsewhere; resolves when all are closed. */
  readonly drain: () => Promise<void>;
}

interface Served {
  readonly socket: Duplex;
  readonly connection: Connection;
}

/** What a client may take until it has said something. */
const handshakeTimeoutMs = 10_000;

/** gRPC over connections that come from elsewhere. */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const { methods, limits, tls, onError } = options;
  const served = new Set<Served>();
  let drained: Promise<void> | undefined;
  let whenEmpty: () => void = () => undefined;

  function serve(socket: Duplex, peer: () => string): void {
    const connection = serveConnection(socket, { methods, limits, peer, onError });
    const one = { socket, connection };
    served.add(one);
    const stopWatching = watchConnection(one, options);
    socket.once('close', () => {
      stopWatching();
      served.delete(one);
      if (served.size === 0) whenEmpty();
    });
    if (drained !== undefined) connection.drain();
  }

  const tlsServer =
    tls && createTlsServer({ handshakeTimeout: handshakeTimeoutMs, ...tls, ALPNProtocols: ['h2'] });
  tlsServer?.on('secureConnection', (socket) => {
    // Without ALPN a client has prior knowledge; with another protocol it would have failed by now.
    serve(socket, peerOf(socket));
  });
  // A client that is not let in knows why, and the listener forgets its socket by itself.
  tlsServer?.on('tlsClientError', (_error, socket) => socket.destroy());

  return {
    accept(socket) {
      if (tlsServer === undefined) serve(socket, peerOf(socket));
      else tlsServer.emit('connection', socket);
    },
    setCertificate: (certificate) => tlsServer?.setSecureContext(certificate),
    drain() {
      drained ??= new Promise((resolve) => {
        whenEmpty = resolve;
        for (const { connection } of served) connection.drain();
        if (served.size === 0) resolve();
      });
      return drained;
    },
  };
}

/** Ends it when it is silent, and tells it to go when it is old. */
function watchConnection({ socket, connection }: Served, options: GrpcServerOptions): () => void {
  const { keepaliveMs, keepaliveTimeoutMs, maxConnectionAgeMs, maxConnectionAgeGraceMs } = options;
  let seenBytes = 0;
  let isAsked = false;
  let timer = after(Math.min(handshakeTimeoutMs, keepaliveMs), look);

  function look(): void {
    const bytes = connection.bytesRead();
    const isSilent = bytes === seenBytes;
    seenBytes = bytes;
    if (isSilent && (isAsked || bytes === 0)) {
      socket.destroy();
      return;
    }
    isAsked = isSilent;
    if (isAsked) connection.ping();
    timer = after(isAsked ? keepaliveTimeoutMs : keepaliveMs, look);
  }

  const ageMs = maxConnectionAgeMs * (0.9 + Math.random() / 5);
  const age = after(ageMs, () => connection.drain());
  const grace = after(ageMs + maxConnectionAgeGraceMs, () => socket.destroy());
  return () => {
    for (const each of [timer, age, grace]) clearTimeout(each);
  };
}

/** Node takes what is longer for one millisecond. */
const longestTimerMs = 2 ** 31 - 1;

/** Undefined: not within the life of any process. */
function after(ms: number, act: () => void): NodeJS.Timeout | undefined {
  return ms > longestTimerMs ? undefined : setTimeout(act, ms).unref();
}

/** As grpc-js writes it: the port behind a colon, also behind an IPv6 address. */
function peerOf({ remoteAddress, remotePort }: Socket): () => string {
  // Gone with the connection, and asked for after it.
  const peer = `${remoteAddress}:${remotePort}`;
  return () => peer;
}
