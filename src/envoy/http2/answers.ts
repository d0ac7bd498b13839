import { ConnectionFault } from './connection-fault.ts';
import { defaultFrameBytes, defaultWindowBytes, errorCode, mostWindowBytes } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';

/** As much of a stream as its answer needs. */
export interface AnsweredStream {
  readonly id: number;
  /** What the peer takes of it. */
  sendWindow: number;
}

export interface AnswersOptions<S extends AnsweredStream> {
  readonly writer: FrameWriter;
  readonly isOpen: (stream: S) => boolean;
  /** The last headers have left. */
  readonly onEnded: (stream: S) => void;
}

/** Answers within the peer's windows (RFC 9113 section 5.2). */
export interface Answers<S extends AnsweredStream> {
  /** The bytes are copied. */
  readonly sendData: (stream: S, bytes: Buffer) => void;
  /** After the data. */
  readonly end: (stream: S, block: Buffer) => void;
  /** WINDOW_UPDATE of the connection. Throws ConnectionFault for a window that is too large. */
  readonly widen: (bytes: number) => void;
  /** Something was set that may let data go. */
  readonly proceed: () => void;
  readonly forgetAll: () => void;
}

interface Blocked<S> {
  readonly stream: S;
  readonly bytes: Buffer;
  at: number;
  /** Follows the last byte. */
  end: Buffer | undefined;
}

export function createAnswers<S extends AnsweredStream>(options: AnswersOptions<S>): Answers<S> {
  const { writer, isOpen, onEnded } = options;
  let window = defaultWindowBytes;
  let blocked: Blocked<S>[] = [];

  /** A part that fits into one frame, which every peer takes. */
  function write(stream: S, bytes: Buffer, from: number, to: number): void {
    writer.data(stream.id, bytes, from, to);
    window -= to - from;
    stream.sendWindow -= to - from;
  }

  /** True once all of it has left. */
  function writeAsFarAsItGoes(waiting: Blocked<S>): boolean {
    const { stream, bytes } = waiting;
    while (waiting.at < bytes.length) {
      const most = Math.min(bytes.length - waiting.at, window, stream.sendWindow, defaultFrameBytes);
      if (most <= 0) return false;
      write(stream, bytes, waiting.at, waiting.at + most);
      waiting.at += most;
    }
    if (waiting.end !== undefined) finish(stream, waiting.end);
    return true;
  }

  /** A stream whose own window is spent does not hold up the others. */
  function proceed(): void {
    if (blocked.length === 0 || window <= 0) return;
    const stalled = new Set<S>();
    blocked = blocked.filter((waiting) => {
      if (!isOpen(waiting.stream)) return false;
      if (!stalled.has(waiting.stream) && writeAsFarAsItGoes(waiting)) return false;
      stalled.add(waiting.stream);
      return true;
    });
  }

  function isWaiting(stream: S): boolean {
    return blocked.length > 0 && blocked.some((each) => each.stream === stream);
  }

  function finish(stream: S, block: Buffer): void {
    writer.headers(stream.id, block, true);
    onEnded(stream);
  }

  return {
    sendData(stream, bytes) {
      const most = Math.min(window, stream.sendWindow, defaultFrameBytes);
      if (bytes.length <= most && !isWaiting(stream)) {
        write(stream, bytes, 0, bytes.length);
        return;
      }
      blocked.push({ stream, bytes: Buffer.from(bytes), at: 0, end: undefined });
      proceed();
    },
    end(stream, block) {
      const waiting = blocked.length === 0 ? undefined : blocked.findLast((each) => each.stream === stream);
      if (waiting === undefined) finish(stream, block);
      else waiting.end = block;
    },
    widen(bytes) {
      window += bytes;
      if (window > mostWindowBytes)
        throw new ConnectionFault(errorCode.flowControl, 'a window that is too large');
      proceed();
    },
    proceed,
    forgetAll() {
      blocked = [];
    },
  };
}
