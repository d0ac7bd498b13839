import { type GrpcFault, grpcStatus } from './status.ts';

/** Whether it is compressed, and its length in four bytes (gRPC's PROTOCOL-HTTP2, `Length-Prefixed-Message`). */
export const prefixBytes = 5;

/** A message of usual length is put together here, since whoever sends it copies it. */
const scratch = Buffer.allocUnsafeSlow(16 * 1024);

/** With its prefix; in memory that is good until the next call. */
export function frameMessage(message: Buffer): Buffer {
  const length = prefixBytes + message.length;
  const framed = length <= scratch.length ? scratch : Buffer.allocUnsafe(length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  message.copy(framed, prefixBytes);
  return framed.subarray(0, length);
}

/** Takes messages out of the pieces in which a body comes. */
export interface MessageReader {
  /** Calls back for every message that is whole now, in memory that stays. Returns what is wrong, if anything is. */
  readonly read: (bytes: Buffer, onMessage: (message: Buffer) => void) => GrpcFault | undefined;
  /** Something of a message is there that is not whole. */
  readonly isWithin: () => boolean;
}

export function createMessageReader(maxMessageBytes: number): MessageReader {
  /** What came of a message that is not whole: the first `held` bytes. Pieces may be tiny, so that none is kept. */
  let kept = noBytes;
  let held = 0;
  /** Of that message, with its prefix; 0 as long as that is not known. */
  let wanted = 0;

  function keep(bytes: Buffer): void {
    const needed = held + bytes.length;
    if (needed > kept.length) {
      // Not all that is announced: that costs the peer five bytes.
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(wanted, 2 * kept.length)));
      kept.copy(larger, 0, 0, held);
      kept = larger;
    }
    bytes.copy(kept, held);
    held = needed;
  }

  return {
    read(piece, onMessage) {
      let bytes = piece;
      if (held > 0) {
        keep(piece);
        if (held < wanted) return undefined;
        bytes = kept.subarray(0, held);
        kept = noBytes;
        held = 0;
        wanted = 0;
      }
      let at = 0;
      while (bytes.length - at >= prefixBytes) {
        const length = bytes.readUInt32BE(at + 1);
        const fault = faultOf(bytes[at] as number, length, maxMessageBytes);
        if (fault !== undefined) return fault;
        wanted = prefixBytes + length;
        if (bytes.length - at < wanted) break;
        onMessage(bytes.subarray(at + prefixBytes, at + wanted));
        at += wanted;
        wanted = 0;
      }
      if (at < bytes.length) keep(bytes.subarray(at));
      return undefined;
    },
    isWithin: () => held > 0,
  };
}

const noBytes = Buffer.alloc(0);

function faultOf(flag: number, length: number, most: number): GrpcFault | undefined {
  if (length > most) {
    return {
      code: grpcStatus.resourceExhausted,
      details: `a message of ${length} bytes, where ${most} are the most`,
    };
  }
  if (flag === 0) return undefined;
  return flag === 1
    ? { code: grpcStatus.unimplemented, details: 'compressed messages are not read' }
    : { code: grpcStatus.internal, details: 'a message prefix that can not be' };
}
