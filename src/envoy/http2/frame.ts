/** The parts of HTTP/2 that go over the wire: RFC 9113 sections 3.4, 4.1, 6 and 7. */

/** What a client sends before its first frame (section 3.4). */
export const clientPreface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Length (3 bytes), type, flags, stream id (4 bytes). */
export const frameHeaderBytes = 9;

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** `endStream` of DATA and HEADERS has the bit that is `ack` of SETTINGS and PING. */
export const frameFlag = { none: 0, endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

export const setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

export const errorCode = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

export type ErrorCode = (typeof errorCode)[keyof typeof errorCode];

/** Sections 6.5.2 and 6.9.1: what holds until a peer says otherwise, and what it may say. */
export const defaultWindowBytes = 65_535;
export const mostWindowBytes = 2 ** 31 - 1;
export const defaultFrameBytes = 16_384;
export const mostFrameBytes = 2 ** 24 - 1;

/** Of HPACK's dynamic table, in bytes, until a peer says otherwise (section 6.5.2). */
export const defaultTableBytes = 4096;

/** Of RST_STREAM, WINDOW_UPDATE; PING; PRIORITY; one entry of SETTINGS. */
export const wordBytes = 4;
export const pingBytes = 8;
export const priorityBytes = 5;
export const settingBytes = 6;

/** A frame as it lies in what was read: its payload are the bytes from `start` to `end`. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** What stands before a payload of `length` bytes. */
export interface FrameHead {
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
}

/** Returns where the payload begins. */
export function writeFrameHead(bytes: Buffer, at: number, head: FrameHead): number {
  const { length, type, flags, streamId } = head;
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  return writeWord(bytes, at + 5, streamId);
}

/** 32 bits, big-endian; returns what comes after them. */
export function writeWord(bytes: Buffer, at: number, value: number): number {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  return at + wordBytes;
}

/** 31 bits: the highest one is reserved wherever an id, a window or an increment stands. */
export function readWord31(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) & 0x7f_ff_ff_ff;
}

export function hasFlag({ flags }: Frame, flag: number): boolean {
  return (flags & flag) !== 0;
}
