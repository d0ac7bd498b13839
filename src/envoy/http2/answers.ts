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
  /** The last headers have left. */
  readonly onEnded: (stream: S) => void;
  /** The peer makes us hold more answers than anyone waits for. */
  readonly onTooMuch: () => void;
}

/** Answers within the peer's windows (RFC 9113 section 5.2). */
export interface Answers<S extends AnsweredStream> {
  /** The bytes are copied. */
  readonly sendData: (stream: S, bytes: Buffer) => void;
  /** After the data. */
  readonly end: (stream: S, block: Buffer) => void;
  /** WINDOW_UPDATE of the connection. Throws ConnectionFault for a window that is too large. */
  readonly widen: (bytes: number) => void;
  /** The windows of all streams have changed. */
  readonly proceed: () => void;
  /** That of one stream has. */
  readonly proceedWith: (stream: S) => void;
  /** Nobody waits for the rest. */
  readonly forget: (stream: S) => void;
  readonly forgetAll: () => void;
}

/** Of one stream, what has not left. */
interface Held {
  readonly parts: Buffer[];
  /** The first part that is not out, and how much of it is. */
  part: number;
  at: number;
  bytes: number;
  /** Follows the last byte. */
  end: Buffer | undefined;
}

/** Of one connection. A part counts for more than its bytes: so small ones are no way around it. */
const mostHeldBytes = 32 * 1024 * 1024;
const partOverheadBytes = 256;

export function createAnswers<S extends AnsweredStream>(options: AnswersOptions<S>): Answers<S> {
  const { writer, onEnded, onTooMuch } = options;
  let window = defaultWindowBytes;
  /** In the order in which they were held up. */
  const heldByStream = new Map<S, Held>();
  let heldBytes = 0;

  /** A part that fits into one frame, which every peer takes. */
  function write(stream: S, bytes: Buffer, from: number, to: number): void {
    writer.data(stream.id, bytes, from, to);
    window -= to - from;
    stream.sendWindow -= to - from;
  }

  /** True once all of it has left. */
  function writeAsFarAsItGoes(stream: S, held: Held): boolean {
    for (; held.part < held.parts.length; held.part += 1) {
      const bytes = held.parts[held.part] as Buffer;
      while (held.at < bytes.length) {
        const most = Math.min(bytes.length - held.at, window, stream.sendWindow, defaultFrameBytes);
        if (most <= 0) return false;
        write(stream, bytes, held.at, held.at + most);
        held.at += most;
      }
      held.at = 0;
    }
    return true;
  }

  function proceedWith(stream: S): void {
    const held = heldByStream.get(stream);
    if (held === undefined || !writeAsFarAsItGoes(stream, held)) return;
    forget(stream);
    if (held.end !== undefined) finish(stream, held.end);
  }

  /** A stream whose own window is spent does not hold up the others. */
  function proceed(): void {
    for (const stream of heldByStream.keys()) {
      if (window <= 0) return;
      proceedWith(stream);
    }
  }

  function hold(stream: S, bytes: Buffer): void {
    let held = heldByStream.get(stream);
    if (held === undefined) {
      held = { parts: [], part: 0, at: 0, bytes: 0, end: undefined };
      heldByStream.set(stream, held);
    }
    held.parts.push(Buffer.from(bytes));
    held.bytes += bytes.length + partOverheadBytes;
    heldBytes += bytes.length + partOverheadBytes;
    if (heldBytes > mostHeldBytes) onTooMuch();
  }

  function forget(stream: S): void {
    heldBytes -= heldByStream.get(stream)?.bytes ?? 0;
    heldByStream.delete(stream);
  }

  function finish(stream: S, block: Buffer): void {
    writer.headers(stream.id, block, true);
    onEnded(stream);
  }

  return {
    sendData(stream, bytes) {
      const most = Math.min(window, stream.sendWindow, defaultFrameBytes);
      if (bytes.length <= most && !heldByStream.has(stream)) {
        write(stream, bytes, 0, bytes.length);
        return;
      }
      hold(stream, bytes);
      proceedWith(stream);
    },
    end(stream, block) {
      const held = heldByStream.get(stream);
      if (held === undefined) finish(stream, block);
      else held.end = block;
    },
    widen(bytes) {
      window += bytes;
      if (window > mostWindowBytes)
        throw new ConnectionFault(errorCode.flowControl, 'a window that is too large');
      proceed();
    },
    proceed,
    proceedWith,
    forget,
    forgetAll() {
      heldByStream.clear();
      heldBytes = 0;
    },
  };
}
