import {
  clientPreface,
  errorCode,
  frameFlag,
  frameHeaderBytes,
  frameType,
  setting,
  writeFrameHead,
} from '../../../src/envoy/http2/frame.ts';

export { clientPreface, errorCode, frameFlag, frameType, setting };

/** A frame as the other side sees it. */
export interface SeenFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export interface FrameText {
  readonly type: number;
  readonly flags?: number;
  readonly streamId?: number;
  readonly payload?: Buffer;
}

export function frame({ type, flags = 0, streamId = 0, payload = Buffer.alloc(0) }: FrameText): Buffer {
  const head = Buffer.alloc(frameHeaderBytes);
  writeFrameHead(head, 0, { length: payload.length, type, flags, streamId });
  return Buffer.concat([head, payload]);
}

export function word(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, 4 * at);
  return bytes;
}

/** Fields that no table holds, in plain characters (RFC 7541 section 6.2.2). */
export function literalBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const text = (value: string) => Buffer.concat([integer(value.length, 7), Buffer.from(value, 'latin1')]);
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

/** RFC 7541 section 5.1; `first` are the bits before it. */
export function integer(value: number, bits: number, first = 0): Buffer {
  const most = 2 ** bits - 1;
  if (value < most) return Buffer.of(first + value);
  const bytes = [first + most];
  let rest = value - most;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return Buffer.from([...bytes, rest]);
}

export function settings(entries: readonly (readonly [name: number, value: number])[] = []): Buffer {
  const payload = Buffer.alloc(6 * entries.length);
  for (const [at, [name, value]] of entries.entries()) {
    payload.writeUInt16BE(name, 6 * at);
    payload.writeUInt32BE(value, 6 * at + 2);
  }
  return frame({ type: frameType.settings, payload });
}

const requestFields = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/'],
] as const;

export interface RequestText {
  readonly fields?: readonly (readonly [name: string, value: string])[];
  readonly isEnd?: boolean;
}

/** HEADERS of a POST, with the fields given besides or instead (pseudo-header fields). */
export function request(streamId: number, { fields = [], isEnd = true }: RequestText = {}): Buffer {
  const names = new Set(fields.map(([name]) => name));
  const all = [...requestFields.filter(([name]) => !names.has(name)), ...fields];
  const pseudo = all.filter(([name]) => name.startsWith(':'));
  const regular = all.filter(([name]) => !name.startsWith(':'));
  return frame({
    type: frameType.headers,
    flags: frameFlag.endHeaders | (isEnd ? frameFlag.endStream : 0),
    streamId,
    payload: literalBlock([...pseudo, ...regular]),
  });
}

export function data(streamId: number, payload: Buffer, isEnd = false): Buffer {
  return frame({ type: frameType.data, flags: isEnd ? frameFlag.endStream : 0, streamId, payload });
}

export const rstStream = (streamId: number, code = 8) =>
  frame({ type: frameType.rstStream, streamId, payload: word(code) });
export const windowUpdate = (streamId: number, bytes: number) =>
  frame({ type: frameType.windowUpdate, streamId, payload: word(bytes) });
export const ping = (text: string, flags = 0) =>
  frame({ type: frameType.ping, flags, payload: Buffer.from(text) });
export const goAway = (lastStreamId = 0, code = 0) =>
  frame({ type: frameType.goAway, payload: word(lastStreamId, code) });

/** Preface and SETTINGS, as a client begins. */
export function hello(entries: readonly (readonly [name: number, value: number])[] = []): Buffer {
  return Buffer.concat([clientPreface, settings(entries)]);
}

/** Takes the frames out of what comes, in pieces of any size. */
export function createFrameSplitter(onFrame: (seen: SeenFrame) => void): (piece: Buffer) => void {
  let unread: Buffer = Buffer.alloc(0);
  return (piece) => {
    unread = unread.length === 0 ? piece : Buffer.concat([unread, piece]);
    while (unread.length >= frameHeaderBytes) {
      const end = frameHeaderBytes + unread.readUIntBE(0, 3);
      if (unread.length < end) return;
      onFrame({
        type: unread.readUInt8(3),
        flags: unread.readUInt8(4),
        streamId: unread.readUInt32BE(5),
        payload: Buffer.from(unread.subarray(frameHeaderBytes, end)),
      });
      unread = unread.subarray(end);
    }
  };
}

/** The text fields of a block that was encoded without tables and Huffman. */
export function readLiteralBlock(block: Buffer): readonly (readonly [name: string, value: string])[] {
  const fields: (readonly [string, string])[] = [];
  let at = 0;
  const text = () => {
    let length = block.readUInt8(at++);
    if (length === 0x7f) {
      for (let scale = 1; ; scale *= 0x80) {
        const byte = block.readUInt8(at++);
        length += (byte & 0x7f) * scale;
        if (byte < 0x80) break;
      }
    }
    at += length;
    return block.toString('latin1', at - length, at);
  };
  while (at < block.length) {
    if (block.readUInt8(at++) !== 0) throw new Error('not a literal field with a name of its own');
    fields.push([text(), text()]);
  }
  return fields;
}

/** For a connection whose handlers have no bugs. */
export function rethrow(error: unknown): never {
  throw error;
}
