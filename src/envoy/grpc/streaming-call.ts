import { Duplex } from 'node:stream';
import type { StreamReceiver } from '../http2/stream.ts';
import { createMessageReader, frameMessage, prefixBytes } from './messages.ts';
import {
  faultTrailers,
  type GrpcFault,
  grpcStatus,
  okTrailers,
  onlyTrailers,
  responseHeaders,
} from './status.ts';
import type { CallStart } from './unary-call.ts';

/** How a method's messages are read and written. Either may throw. */
export interface MessageCodec {
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseSerialize: (value: unknown) => Buffer;
}

/** Messages that are read ahead of who takes them. */
const readAhead = 16;

export interface StreamingCall {
  /** As grpc-js shows it to handlers: messages, `getPeer`, and `cancelled` for a caller that went away. */
  readonly call: Duplex;
  readonly receiver: StreamReceiver;
  /** Ends the call, once; the messages that were written go before. */
  readonly finish: (fault?: GrpcFault) => void;
}

/** A call with a stream of messages on either side. An `error` with `code` and `details` ends it with that status. */
export function createStreamingCall(start: CallStart, codec: MessageCodec): StreamingCall {
  const { connection, stream } = start;
  const reader = createMessageReader(start.maxMessageBytes);
  /** Bytes of messages that were handed on, for which the peer has no window yet. */
  let unconsumedBytes = 0;
  let hasSentHeaders = false;
  let isFinished = false;

  const duplex = new Duplex({
    objectMode: true,
    readableHighWaterMark: readAhead,
    read() {
      const bytes = unconsumedBytes;
      unconsumedBytes = 0;
      if (!isFinished) connection.consumed(stream, bytes);
    },
    write(value: unknown, _encoding, done) {
      if (!isFinished) {
        sendHeaders();
        connection.sendData(stream, frameMessage(codec.responseSerialize(value)));
      }
      done();
    },
    final(done) {
      finish();
      done();
    },
  });
  const call = Object.assign(duplex, { getPeer: start.peer });
  // Without a listener an error would end the process.
  call.on('error', (error) => finish(faultFrom(error)));

  function finish(fault?: GrpcFault): void {
    if (isFinished) return;
    isFinished = true;
    if (fault === undefined) {
      sendHeaders();
      connection.end(stream, okTrailers);
    } else {
      connection.end(stream, hasSentHeaders ? faultTrailers(fault) : onlyTrailers(fault));
    }
    // Messages that came before the end are still on their way to whoever takes them.
    setImmediate(() => call.destroy());
  }

  function sendHeaders(): void {
    if (hasSentHeaders) return;
    hasSentHeaders = true;
    connection.sendHeaders(stream, responseHeaders);
  }

  function take(bytes: Buffer): void {
    if (isFinished) return;
    unconsumedBytes += prefixBytes + bytes.length;
    let message: unknown;
    try {
      message = codec.requestDeserialize(bytes);
    } catch {
      fail({ code: grpcStatus.internal, details: 'a message that can not be read' });
      return;
    }
    call.push(message);
  }

  function fail(fault: GrpcFault): void {
    call.emit('error', Object.assign(new Error(fault.details), fault));
  }

  return {
    call,
    finish,
    receiver: {
      receive(bytes, isEnd) {
        if (isFinished) return;
        const fault = reader.read(bytes, take);
        if (fault !== undefined) fail(fault);
        else if (isEnd && reader.isWithin()) fail(endsWithin);
        else if (isEnd) call.push(null);
      },
      cancelled() {
        if (isFinished) return;
        setImmediate(() => call.emit('cancelled', 'cancelled'));
        finish({ code: grpcStatus.cancelled, details: '' });
      },
    },
  };
}

const endsWithin: GrpcFault = { code: grpcStatus.internal, details: 'the request ends within a message' };

/** What a handler says is wrong; what says no status is a bug, whose words are for nobody else. */
export function faultFrom(error: unknown): GrpcFault {
  const { code, details } = (error ?? {}) as Partial<GrpcFault>;
  return typeof code === 'number'
    ? { code, details: details ?? '' }
    : { code: grpcStatus.unknown, details: 'it failed' };
}
