import { fieldLine, token } from './grammar.ts';
import { createLineReader } from './line-reader.ts';
import type { Piece } from './piece.ts';
import { RequestFault } from './request-fault.ts';

export type BodyState = 'more' | 'whole' | 'too long';

/** A body in chunks (RFC 9112 section 7.1), in pieces of any size. */
export interface ChunkReader {
  /** `whole` at the end, behind the trailers; `too long` before the chunk that makes it so. Throws RequestFault. */
  readonly read: (piece: Piece) => BodyState;
}

export interface ChunkReaderOptions {
  /** Told of data, where it lies. */
  readonly onData: (bytes: Buffer, start: number, end: number) => void;
  /** Of all data together. */
  readonly maxBytes: number;
  /** Of all trailers together. */
  readonly maxTrailerBytes: number;
}

/** The size in hexadecimal, of no more digits than can be counted with; extensions are passed over (section 7.1.1). */
const chunkSize = new RegExp(`^([0-9A-Fa-f]{1,8})((?:;${token}(?:=${token})?)*)$`);
const maxDigits = 8;

/** Of all chunks of a body together. */
const maxExtensionBytes = 16 * 1024;

/** Trailers are no headers: nobody reads them. */
const trailer = new RegExp(`^${fieldLine}$`);

/** What would change how the connection is read (RFC 9110 section 6.5.1). */
const neverTrailer = /^(?:connection|content-length|expect|host|transfer-encoding|upgrade):/i;

export function createChunkReader({ onData, maxBytes, maxTrailerBytes }: ChunkReaderOptions): ChunkReader {
  const lines = createLineReader();
  let next: 'size' | 'data' | 'end of data' | 'trailers' = 'size';
  let dataBytes = 0;
  let bytesLeft = maxBytes;
  let extensionBytesLeft = maxExtensionBytes;
  let trailerBytesLeft = maxTrailerBytes;

  function readSize(piece: Piece): BodyState {
    const line = lines.read(piece, maxDigits + extensionBytesLeft);
    if (line === undefined) return 'more';
    const [, digits, extensions = ''] = chunkSize.exec(line) ?? [];
    if (digits === undefined) throw new RequestFault(400, 'no size of a chunk');
    extensionBytesLeft -= extensions.length;
    dataBytes = Number.parseInt(digits, 16);
    bytesLeft -= dataBytes;
    next = dataBytes === 0 ? 'trailers' : 'data';
    return bytesLeft < 0 ? 'too long' : 'more';
  }

  function readData(piece: Piece): BodyState {
    const { bytes, at } = piece;
    const end = Math.min(bytes.length, at + dataBytes);
    onData(bytes, at, end);
    piece.at = end;
    dataBytes -= end - at;
    if (dataBytes === 0) next = 'end of data';
    return 'more';
  }

  function readEndOfData(piece: Piece): BodyState {
    const line = lines.read(piece, 0);
    if (line === undefined) return 'more';
    if (line !== '') throw new RequestFault(400, 'a chunk that is longer than it says');
    next = 'size';
    return 'more';
  }

  function readTrailer(piece: Piece): BodyState {
    const line = lines.read(piece, trailerBytesLeft);
    if (line === undefined) return 'more';
    if (line === '') return 'whole';
    if (!trailer.test(`${line}\r\n`) || neverTrailer.test(line))
      throw new RequestFault(400, 'a trailer that may not be one');
    trailerBytesLeft -= line.length + 2;
    return 'more';
  }

  const readNext = {
    size: readSize,
    data: readData,
    'end of data': readEndOfData,
    trailers: readTrailer,
  } as const;

  return {
    read(piece) {
      let state: BodyState = 'more';
      while (state === 'more' && piece.at < piece.bytes.length) state = readNext[next](piece);
      return state;
    },
  };
}
