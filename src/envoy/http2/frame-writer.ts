import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import {
  type ErrorCode,
  frameFlag,
  type FrameHead,
  frameHeaderBytes,
  frameType,
  pingBytes,
  settingBytes,
  wordBytes,
  writeFrameHead,
  writeWord,
} from './frame.ts';

/**
 * Frames into one piece of memory, which leaves by one write: at the end of the turn, or when `flush` is called. What the
 * peer does not read is kept, up to `mostUnreadBytes`; beyond it the socket is destroyed.
 */
export interface FrameWriter {
  /** A header block that needs no CONTINUATION. */
  readonly headers: (streamId: number, block: Buffer, isEnd: boolean) => void;
  /** The bytes from `from` to `to`, which fit into one frame. */
  readonly data: (streamId: number, bytes: Buffer, from: number, to: number) => void;
  readonly windowUpdate: (streamId: number, bytes: number) => void;
  readonly reset: (streamId: number, code: ErrorCode) => void;
  /** The eight bytes that begin at `start`. */
  readonly ping: (bytes: Buffer, start: number, isAck: boolean) => void;
  readonly goAway: (lastStreamId: number, code: ErrorCode) => void;
  readonly settings: (entries: readonly (readonly [id: number, value: number])[]) => void;
  readonly acknowledgeSettings: () => void;
  /**
   * The peer wants a smaller table than the one it need not know we never use: the next block has to say that it is gone
   * (RFC 9113 section 4.3.1).
   */
  readonly giveUpTable: () => void;
  /** Until the next `flush`, nothing leaves by itself. */
  readonly gather: () => void;
  readonly flush: () => void;
}

const outputBytes = 64 * 1024;
/** What a peer that reads nothing may make us keep for it. A write counts for more than its bytes. */
const mostUnreadBytes = 8 * 1024 * 1024;
const writeOverheadBytes = 512;

export function createFrameWriter(socket: Duplex): FrameWriter {
  let output = Buffer.allocUnsafeSlow(outputBytes);
  let written = 0;
  let willFlush = false;
  /** Writes that the system has not taken. */
  let unread = 0;
  /** Of a socket that encrypts, a write is never over at once, so that it would cost all of `output` each time. */
  const isEncrypted = socket instanceof TLSSocket;
  let table: 'unused' | 'to be given up' | 'given up' = 'unused';

  /** Where the payload begins. */
  function begin(head: FrameHead): number {
    const bytes = frameHeaderBytes + head.length;
    if (written + bytes > output.length) flush();
    const at = written;
    written += bytes;
    if (!willFlush) {
      willFlush = true;
      // After the microtasks: answers that the same turn brings leave together.
      process.nextTick(flush);
    }
    return writeFrameHead(output, at, head);
  }

  function flush(): void {
    willFlush = false;
    if (written === 0) return;
    const bytes = output.subarray(0, written);
    written = 0;
    if (!socket.writable) return;
    if (isEncrypted || socket.writableLength > 0) {
      // It waits behind others, and would keep all of `output`.
      unread += 1;
      socket.write(Buffer.from(bytes), wasRead);
      if (socket.writableLength + unread * writeOverheadBytes > mostUnreadBytes) socket.destroy();
      return;
    }
    socket.write(bytes);
    // Zero: the system has taken all of it, so that the memory is ours again.
    if (socket.writableLength > 0) output = Buffer.allocUnsafeSlow(outputBytes);
  }

  function wasRead(): void {
    unread -= 1;
  }

  function word(type: number, streamId: number, value: number): void {
    // Before `output` is read: it may be another one then.
    const at = begin({ length: wordBytes, type, flags: frameFlag.none, streamId });
    writeWord(output, at, value);
  }

  return {
    headers(streamId, block, isEnd) {
      const flags = frameFlag.endHeaders | (isEnd ? frameFlag.endStream : frameFlag.none);
      if (table === 'to be given up') {
        table = 'given up';
        const length = tableOfNothing.length + block.length;
        const start = begin({ length, type: frameType.headers, flags, streamId });
        block.copy(output, start + tableOfNothing.copy(output, start));
        return;
      }
      const at = begin({ length: block.length, type: frameType.headers, flags, streamId });
      block.copy(output, at);
    },
    data(streamId, bytes, from, to) {
      const at = begin({ length: to - from, type: frameType.data, flags: frameFlag.none, streamId });
      bytes.copy(output, at, from, to);
    },
    windowUpdate: (streamId, bytes) => word(frameType.windowUpdate, streamId, bytes),
    reset: (streamId, code) => word(frameType.rstStream, streamId, code),
    ping(bytes, start, isAck) {
      const flags = isAck ? frameFlag.ack : frameFlag.none;
      const at = begin({ length: pingBytes, type: frameType.ping, flags, streamId: 0 });
      bytes.copy(output, at, start, start + pingBytes);
    },
    goAway(lastStreamId, code) {
      const at = begin({ length: 2 * wordBytes, type: frameType.goAway, flags: frameFlag.none, streamId: 0 });
      writeWord(output, writeWord(output, at, lastStreamId), code);
    },
    settings(entries) {
      const length = entries.length * settingBytes;
      let at = begin({ length, type: frameType.settings, flags: frameFlag.none, streamId: 0 });
      for (const [id, value] of entries) {
        output.writeUInt16BE(id, at);
        at = writeWord(output, at + 2, value);
      }
    },
    acknowledgeSettings() {
      begin({ length: 0, type: frameType.settings, flags: frameFlag.ack, streamId: 0 });
    },
    giveUpTable() {
      if (table === 'unused') table = 'to be given up';
    },
    gather() {
      willFlush = true;
    },
    flush,
  };
}

/** "Dynamic Table Size Update" to zero (RFC 7541 section 6.3). */
const tableOfNothing = Buffer.from([0x20]);
