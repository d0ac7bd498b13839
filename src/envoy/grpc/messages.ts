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
  let parts: Buffer[] = [];
  let held = 0;
  /** Of the message that `parts` begin, with its prefix; 0 as long as that is not known. */
  let wanted = 0;

  return {
    read(piece, onMessage) {
      let bytes = piece;
      if (held > 0) {
        parts.push(piece);
        held += piece.length;
        if (held < wanted) return undefined;
        bytes = Buffer.concat(parts);
        parts = [];
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
      if (at < bytes.length) {
        parts = [bytes.subarray(at)];
        held = bytes.length - at;
      }
      return undefined;
    },
    isWithin: () => held > 0,
  };
}

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
