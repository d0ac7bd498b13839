import type { Duplex } from 'node:stream';
import { type Connection, createConnection } from '../http2/connection.ts';
import type { Stream, StreamReceiver } from '../http2/stream.ts';
import { defaultWindowBytes } from '../http2/frame.ts';
import type { HeaderField } from '../http2/header-table.ts';
import type { RequestHead } from '../http2/request-head.ts';
import { prefixBytes } from './messages.ts';
import type { Methods } from './services.ts';
import { grpcStatus, onlyTrailers, plainAnswer } from './status.ts';
import { timeoutMs } from './timeout.ts';

export interface GrpcLimits {
  readonly maxMessageBytes: number;
  readonly maxHeaderListBytes: number;
  readonly maxConcurrentStreams: number;
}

const unimplemented = onlyTrailers({
  code: grpcStatus.unimplemented,
  details: 'There is no such method here.',
});
const headersTooLong = onlyTrailers({
  code: grpcStatus.resourceExhausted,
  details: 'The headers are too long.',
});
const notPost = plainAnswer(405);
const notGrpc = plainAnswer(415);

/** What a refused caller still sends. */
const unheard: StreamReceiver = { receive: () => undefined, cancelled: () => undefined };

export interface ServeOptions {
  readonly methods: Methods;
  readonly limits: GrpcLimits;
  /** The other side's address and port. */
  readonly peer: () => string;
  /** Told of what a handler threw; its call failed. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** One connection of a gRPC client: HTTP/2 requests → calls of methods (gRPC's PROTOCOL-HTTP2). */
export function serveConnection(socket: Duplex, options: ServeOptions): Connection {
  const { methods, limits, peer, onError } = options;
  const { maxMessageBytes } = limits;
  // Of one gateway it is nearly always the same.
  let lastTimeout: string | undefined;
  let lastTimeoutMs = Number.POSITIVE_INFINITY;

  function timeoutOf(header: string | undefined): number {
    if (header !== lastTimeout) {
      lastTimeout = header;
      lastTimeoutMs = timeoutMs(header);
    }
    return lastTimeoutMs;
  }

  function refuse(stream: Stream, block: Buffer): StreamReceiver {
    connection.end(stream, block);
    return unheard;
  }

  function beginStream(
    stream: Stream,
    { method, path }: RequestHead,
    fields: readonly HeaderField[],
    isTooLong: boolean,
  ): StreamReceiver {
    let contentType = '';
    let timeout: string | undefined;
    for (const { name, value } of fields) {
      if (name === 'content-type') contentType = value;
      else if (name === 'grpc-timeout') timeout = value;
    }
    if (method !== 'POST') return refuse(stream, notPost);
    if (isTooLong) return refuse(stream, headersTooLong);
    if (!isGrpc(contentType)) return refuse(stream, notGrpc);
    const open = methods.get(path);
    if (open === undefined) return refuse(stream, unimplemented);
    return open({ connection, stream, deadlineAtMs: Date.now() + timeoutOf(timeout), peer, maxMessageBytes });
  }

  const connection = createConnection(socket, {
    beginStream,
    limits: {
      // Not less than what a client may send that has not read our SETTINGS yet.
      streamWindowBytes: Math.max(defaultWindowBytes, maxMessageBytes + prefixBytes),
      maxHeaderListBytes: limits.maxHeaderListBytes,
      maxConcurrentStreams: limits.maxConcurrentStreams,
    },
    onError,
  });
  return connection;
}

/** `application/grpc`, also with the name of a codec or parameters behind it. */
function isGrpc(contentType: string): boolean {
  if (contentType === 'application/grpc') return true;
  return contentType.startsWith('application/grpc+') || contentType.startsWith('application/grpc;');
}
