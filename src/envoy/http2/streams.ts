import { type Answers, createAnswers } from './answers.ts';
import { createBodyWindow } from './body-window.ts';
import { ConnectionFault } from './connection-fault.ts';
import {
  defaultWindowBytes,
  type ErrorCode,
  errorCode,
  type Frame,
  frameFlag,
  hasFlag,
  mostWindowBytes,
} from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { HeaderList } from './header-block.ts';
import { withoutPadding } from './header-frames.ts';
import { readRequestHead } from './request-head.ts';
import type { BeginStream, OpenStream, Stream, StreamReceiver } from './stream.ts';

export interface StreamLimits {
  /** What a peer may send of a body before `consumed` is called; not less than 65 535, which it may before it hears of it. */
  readonly streamWindowBytes: number;
  /** Streams that are open, and the ones that the peer has reset and that are still worked for. */
  readonly maxConcurrentStreams: number;
}

export interface StreamsOptions {
  readonly writer: FrameWriter;
  readonly beginStream: BeginStream;
  readonly limits: StreamLimits;
  /** Told when a stream has ended. */
  readonly onEnded: () => void;
  /** The peer makes us hold too much. */
  readonly onTooMuch: () => void;
  /** Told of bugs: what `beginStream` or a receiver threw. The stream is reset by then. */
  readonly onError: (error: unknown) => void;
}

/** The streams of a connection (RFC 9113 section 5). What the peer does wrong throws ConnectionFault, or resets its stream. */
export interface Streams {
  readonly answers: Answers<OpenStream>;
  readonly isOpen: (stream: Stream) => stream is OpenStream;
  readonly readHeaders: (streamId: number, isEnd: boolean, list: HeaderList) => void;
  readonly readData: (frame: Frame) => void;
  /** SETTINGS_INITIAL_WINDOW_SIZE of the peer, at most `mostWindowBytes`. */
  readonly setPeerWindow: (bytes: number) => void;
  /** WINDOW_UPDATE of a stream. */
  readonly widen: (streamId: number, bytes: number) => void;
  readonly consumed: (stream: Stream, bytes: number) => void;
  readonly end: (stream: Stream, trailers: Buffer) => void;
  readonly cancel: (streamId: number) => void;
  readonly cancelAll: () => void;
  readonly reset: (streamId: number, code: ErrorCode) => void;
  /** From now on new requests are refused. */
  readonly refuse: () => void;
  readonly isIdle: () => boolean;
  /** The last one that a request came on. */
  readonly lastId: () => number;
}

/** Of those that we reset, the last ones. */
const mostLeft = 1000;

export function createStreams(options: StreamsOptions): Streams {
  const { writer, beginStream, limits } = options;
  const streams = new Map<number, OpenStream>();
  let lastId = 0;
  let isRefusing = false;
  /** Streams that we have not ended, also where the peer has gone. */
  let working = 0;
  /** Reset by us before their end came: what was under way by then is no fault (section 5.1). */
  const left = new Set<number>();
  /** Of new streams. */
  let peerWindow = defaultWindowBytes;
  const bodies = createBodyWindow(writer, limits.streamWindowBytes);
  const answers = createAnswers<OpenStream>({
    writer,
    onTooMuch: options.onTooMuch,
    onEnded(stream) {
      streams.delete(stream.id);
      // It need not send what nobody reads (section 8.1).
      if (!stream.isReceived) {
        bodies.giveBack(stream.unconsumedBytes);
        leave(stream.id, errorCode.none);
      }
      options.onEnded();
    },
  });

  function isOpen(stream: Stream): stream is OpenStream {
    return streams.get(stream.id) === stream;
  }

  function readHeaders(id: number, isEnd: boolean, list: HeaderList): void {
    const open = streams.get(id);
    if (open !== undefined) readTrailers(open, isEnd, list);
    else if (id % 2 === 0) throw new ConnectionFault(errorCode.protocol, 'HEADERS on no stream of a client');
    else if (id > lastId) readRequest(id, isEnd, list);
    else if (!left.has(id))
      throw new ConnectionFault(errorCode.streamClosed, 'HEADERS on a stream that is over');
  }

  function readRequest(id: number, isEnd: boolean, { fields, isTooLong }: HeaderList): void {
    lastId = id;
    const most = limits.maxConcurrentStreams;
    if (isRefusing || working >= most || streams.size >= most) {
      leave(id, errorCode.refusedStream);
      return;
    }
    const head = readRequestHead(fields);
    if (head === undefined) {
      leave(id, errorCode.protocol);
      return;
    }
    const stream: OpenStream = {
      id,
      receiver: nobody,
      sendWindow: peerWindow,
      receiveWindow: limits.streamWindowBytes,
      unconsumedBytes: 0,
      bodyBytes: 0,
      contentLength: head.contentLength,
      isReceived: isEnd,
    };
    working += 1;
    streams.set(id, stream);
    try {
      stream.receiver = beginStream(stream, head, fields, isTooLong);
    } catch (error) {
      working -= 1;
      failed(stream, error);
    }
    if (isEnd && isOpen(stream)) receive(stream, noBytes, true);
  }

  /** By a bug of ours, which costs nobody else anything. */
  function failed(stream: OpenStream, error: unknown): void {
    if (isOpen(stream)) reset(stream.id, errorCode.internal);
    options.onError(error);
  }

  function readTrailers(stream: OpenStream, isEnd: boolean, { fields }: HeaderList): void {
    if (stream.isReceived) reset(stream.id, errorCode.streamClosed);
    else if (!isEnd || fields.some(({ kind }) => kind !== 'regular')) reset(stream.id, errorCode.protocol);
    else receive(stream, noBytes, true);
  }

  function readData(frame: Frame): void {
    const { streamId, bytes, start, end } = frame;
    assertBegun(streamId);
    const length = end - start;
    bodies.take(length);
    const [from, to] = withoutPadding(frame);
    const stream = streams.get(streamId);
    if (stream === undefined || stream.isReceived) {
      bodies.giveBack(length);
      if (!left.has(streamId)) reset(streamId, errorCode.streamClosed);
      return;
    }
    stream.unconsumedBytes += length;
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0) reset(streamId, errorCode.flowControl);
    else if (bodies.isOverfull()) reset(streamId, errorCode.enhanceYourCalm);
    else receive(stream, bytes.subarray(from, to), hasFlag(frame, frameFlag.endStream));
    // Nobody reads the padding.
    consumed(stream, length - (to - from));
  }

  function receive(stream: OpenStream, bytes: Buffer, isEnd: boolean): void {
    stream.bodyBytes += bytes.length;
    const { contentLength, bodyBytes } = stream;
    if (contentLength >= 0 && (isEnd ? bodyBytes !== contentLength : bodyBytes > contentLength)) {
      reset(stream.id, errorCode.protocol);
      return;
    }
    if (isEnd) {
      stream.isReceived = true;
      bodies.giveBack(stream.unconsumedBytes);
    }
    try {
      stream.receiver.receive(bytes, isEnd);
    } catch (error) {
      failed(stream, error);
    }
  }

  function consumed(stream: Stream, bytes: number): void {
    if (!isOpen(stream) || stream.isReceived || bytes === 0) return;
    stream.unconsumedBytes -= bytes;
    stream.receiveWindow += bytes;
    writer.windowUpdate(stream.id, bytes);
    bodies.giveBack(bytes);
  }

  function cancel(id: number): void {
    assertBegun(id);
    const stream = streams.get(id);
    if (stream === undefined) return;
    streams.delete(id);
    answers.forget(stream);
    if (!stream.isReceived) bodies.giveBack(stream.unconsumedBytes);
    tellCancelled(stream);
  }

  function tellCancelled({ receiver }: OpenStream): void {
    try {
      receiver.cancelled();
    } catch (error) {
      options.onError(error);
    }
  }

  function reset(id: number, code: ErrorCode): void {
    if (streams.get(id)?.isReceived === false) leave(id, code);
    else writer.reset(id, code);
    if (streams.has(id)) cancel(id);
  }

  function leave(id: number, code: ErrorCode): void {
    writer.reset(id, code);
    left.add(id);
    for (const oldest of left) {
      if (left.size <= mostLeft) return;
      left.delete(oldest);
    }
  }

  function assertBegun(id: number): void {
    if (id === 0 || id > lastId) throw new ConnectionFault(errorCode.protocol, 'a frame on no stream');
  }

  return {
    answers,
    isOpen,
    readHeaders,
    readData,
    setPeerWindow(bytes) {
      const more = bytes - peerWindow;
      if (more === 0) return;
      peerWindow = bytes;
      for (const stream of streams.values()) {
        stream.sendWindow += more;
        if (stream.sendWindow > mostWindowBytes)
          throw new ConnectionFault(errorCode.flowControl, 'a window that is too large');
      }
    },
    widen(id, bytes) {
      assertBegun(id);
      const stream = streams.get(id);
      if (stream === undefined) return;
      stream.sendWindow += bytes;
      if (bytes === 0) reset(id, errorCode.protocol);
      else if (stream.sendWindow > mostWindowBytes) reset(id, errorCode.flowControl);
      else answers.proceedWith(stream);
    },
    consumed,
    end(stream, trailers) {
      working -= 1;
      if (isOpen(stream)) answers.end(stream, trailers);
      else options.onEnded();
    },
    cancel,
    cancelAll() {
      const cut = [...streams.values()];
      streams.clear();
      answers.forgetAll();
      for (const stream of cut) tellCancelled(stream);
    },
    reset,
    refuse() {
      isRefusing = true;
    },
    isIdle: () => working === 0 && streams.size === 0,
    lastId: () => lastId,
  };
}

const noBytes = Buffer.alloc(0);
const nobody: StreamReceiver = { receive: () => undefined, cancelled: () => undefined };
