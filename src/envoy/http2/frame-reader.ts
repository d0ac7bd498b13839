import { ConnectionFault } from './connection-fault.ts';
import {
  clientPreface,
  defaultFrameBytes,
  errorCode,
  type Frame,
  frameHeaderBytes,
  readWord31,
} from './frame.ts';

export interface FrameReaderOptions {
  /** The record is used for the next frame again; the bytes stay. */
  readonly onFrame: (frame: Frame) => void;
  /** Asked after every frame: the rest is dropped then. */
  readonly isOver: () => boolean;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Takes what a client sends, in pieces of any size: first its preface, then frames. Throws ConnectionFault. */
export function createFrameReader({ onFrame, isOver }: FrameReaderOptions): (piece: Buffer) => void {
  const frame: Writable<Frame> = { type: 0, flags: 0, streamId: 0, bytes: clientPreface, start: 0, end: 0 };
  let unread: Buffer | undefined;
  let hasPreface = false;

  /** Returns where the frames begin. */
  function readPreface(bytes: Buffer): number {
    const length = Math.min(bytes.length, clientPreface.length);
    if (clientPreface.compare(bytes, 0, length, 0, length) !== 0)
      throw new ConnectionFault(errorCode.protocol, 'no preface');
    hasPreface = length === clientPreface.length;
    return hasPreface ? length : 0;
  }

  return (piece) => {
    const bytes = unread === undefined ? piece : Buffer.concat([unread, piece]);
    frame.bytes = bytes;
    let at = hasPreface ? 0 : readPreface(bytes);
    const end = hasPreface ? bytes.length : 0;
    while (end - at >= frameHeaderBytes) {
      const length = bytes.readUIntBE(at, 3);
      if (length > defaultFrameBytes)
        throw new ConnectionFault(errorCode.frameSize, 'a frame that is too long');
      frame.start = at + frameHeaderBytes;
      frame.end = frame.start + length;
      if (frame.end > bytes.length) break;
      frame.type = bytes[at + 3] as number;
      frame.flags = bytes[at + 4] as number;
      frame.streamId = readWord31(bytes, at + 5);
      at = frame.end;
      onFrame(frame);
      if (isOver()) return;
    }
    unread = at === bytes.length ? undefined : bytes.subarray(at);
  };
}
