import { ConnectionFault } from './connection-fault.ts';
import { defaultWindowBytes, errorCode } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';

/** The connection's window for the bodies of all its requests (RFC 9113 section 5.2). */
export interface BodyWindow {
  /** Something came. Throws ConnectionFault where it is more than the peer may send. */
  readonly take: (bytes: number) => void;
  /** So much of it is dealt with. The peer is told in large steps. */
  readonly giveBack: (bytes: number) => void;
  /**
   * More is held for bodies than may be. Whoever goes beyond has to be reset: bodies that wait for each other's end in
   * a window that is spent would wait for ever.
   */
  readonly isOverfull: () => boolean;
}

/** Of all bodies under way together, at the same time. */
const mostHeldBytes = 48 * 1024 * 1024;
const stepBytes = 8 * 1024 * 1024;

export function createBodyWindow(writer: FrameWriter, streamWindowBytes: number): BodyWindow {
  // Some of the longest have room, however long they may be.
  const most = Math.min(2 ** 30, Math.max(mostHeldBytes, 4 * streamWindowBytes));
  // What is held, what is not given back yet, and a step more.
  const whole = most + 2 * stepBytes;
  let window = whole;
  let creditBytes = 0;
  writer.windowUpdate(0, whole - defaultWindowBytes);

  return {
    take(bytes) {
      window -= bytes;
      if (window < 0) throw new ConnectionFault(errorCode.flowControl, 'more than our window');
    },
    giveBack(bytes) {
      creditBytes += bytes;
      if (creditBytes < stepBytes) return;
      writer.windowUpdate(0, creditBytes);
      window += creditBytes;
      creditBytes = 0;
    },
    isOverfull: () => whole - window - creditBytes > most,
  };
}
