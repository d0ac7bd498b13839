import { type BodyState, createChunkReader } from './chunk-reader.ts';
import type { Framing } from './framing.ts';
import { createKeptBytes } from './kept-bytes.ts';
import type { Piece } from './piece.ts';

/** The body of a request (RFC 9112 section 6), in pieces of any size. */
export interface BodyReader {
  /** Throws RequestFault. */
  readonly read: (piece: Piece) => BodyState;
  /** What has come of it, where it is kept; once. */
  readonly take: () => Buffer;
}

export interface BodyReaderOptions {
  /** Of a request with a body, of `maxBytes` at most by its length. */
  readonly framing: Framing;
  /** Else it is dropped as it comes. */
  readonly isKept: boolean;
  readonly maxBytes: number;
  readonly maxTrailerBytes: number;
}

export function createBodyReader(options: BodyReaderOptions): BodyReader {
  const { framing, isKept, maxBytes, maxTrailerBytes } = options;
  const kept = createKeptBytes();
  const onData = isKept ? kept.add : () => undefined;
  let bytesLeft = framing.contentLength;

  function readByLength(piece: Piece): BodyState {
    const { bytes, at } = piece;
    const end = Math.min(bytes.length, at + bytesLeft);
    onData(bytes, at, end);
    piece.at = end;
    bytesLeft -= end - at;
    return bytesLeft === 0 ? 'whole' : 'more';
  }

  const read = framing.isChunked
    ? createChunkReader({ onData, maxBytes, maxTrailerBytes }).read
    : readByLength;
  return { read, take: kept.take };
}
