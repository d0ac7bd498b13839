import type { Connection } from '../http2/connection.ts';
import type { Stream, StreamReceiver } from '../http2/stream.ts';
import { createMessageReader, frameMessage, type MessageReader, prefixBytes } from './messages.ts';
import { type GrpcFault, grpcStatus, okTrailers, onlyTrailers, responseHeaders } from './status.ts';

/** A call as it comes in, before anything of it was read. */
export interface CallStart {
  readonly connection: Connection;
  readonly stream: Stream;
  /** Epoch milliseconds; infinite where the caller sets none. */
  readonly deadlineAtMs: number;
  /** The other side's address and port. */
  readonly peer: () => string;
  /** The longest message. */
  readonly maxMessageBytes: number;
}

/** A request in raw bytes; one of the two has to be called, once, at once or later. */
export type UnaryHandler = (
  request: Buffer,
  call: CallStart,
  send: (response: Buffer) => void,
  fail: (fault: GrpcFault) => void,
) => void;

/** One message in, one out. */
export function createUnaryCall(call: CallStart, handle: UnaryHandler): StreamReceiver {
  const { connection, stream, maxMessageBytes } = call;
  let phase: 'reading' | 'handling' | 'answered' = 'reading';
  /** Only of a request that comes in several pieces. */
  let reader: MessageReader | undefined;
  let request: Buffer | undefined;

  function take(message: Buffer): void {
    phase = 'handling';
    try {
      handle(message, call, send, fail);
    } catch (bug) {
      fail(failed);
      throw bug;
    }
  }

  function receivePiece(bytes: Buffer, isEnd: boolean): void {
    reader ??= createMessageReader(maxMessageBytes);
    let isOneTooMany = false;
    const fault = reader.read(bytes, (message) => {
      isOneTooMany = request !== undefined;
      request = message;
    });
    if (fault !== undefined) fail(fault);
    else if (isOneTooMany) fail(oneTooMany);
    else if (!isEnd) return;
    else if (request === undefined || reader.isWithin()) fail(endedTooEarly);
    else take(request);
  }

  function send(response: Buffer): void {
    if (phase === 'answered') return;
    phase = 'answered';
    connection.sendHeaders(stream, responseHeaders);
    connection.sendData(stream, frameMessage(response));
    connection.end(stream, okTrailers);
  }

  function fail(fault: GrpcFault): void {
    if (phase === 'answered') return;
    phase = 'answered';
    connection.end(stream, onlyTrailers(fault));
  }

  return {
    receive(bytes, isEnd) {
      if (phase !== 'reading') return;
      // As nearly all requests come: in one piece.
      if (isEnd && reader === undefined && isOneMessage(bytes, maxMessageBytes))
        take(bytes.subarray(prefixBytes));
      else receivePiece(bytes, isEnd);
    },
    /** Whoever handles it is not interrupted; its answer goes nowhere. */
    cancelled() {
      if (phase === 'reading') fail({ code: grpcStatus.cancelled, details: '' });
    },
  };
}

const failed: GrpcFault = { code: grpcStatus.internal, details: 'it failed' };
const oneTooMany: GrpcFault = {
  code: grpcStatus.unimplemented,
  details: 'one message is wanted, and more came',
};
const endedTooEarly: GrpcFault = {
  code: grpcStatus.internal,
  details: 'the request ends before its message does',
};

function isOneMessage(bytes: Buffer, most: number): boolean {
  if (bytes.length < prefixBytes || bytes[0] !== 0) return false;
  const length = bytes.readUInt32BE(1);
  return length === bytes.length - prefixBytes && length <= most;
}
