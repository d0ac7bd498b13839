import { createKeptBytes } from './kept-bytes.ts';
import type { Piece } from './piece.ts';
import { RequestFault } from './request-fault.ts';

/** Lines that end with CRLF, in pieces of any size. */
export interface LineReader {
  /**
   * The next line, without its end. Undefined: more has to come. Throws RequestFault where it ends with a bare LF, or is longer
   * than `maxBytes`.
   */
  readonly read: (piece: Piece, maxBytes: number) => string | undefined;
}

const lf = 0x0a;

export function createLineReader(): LineReader {
  const kept = createKeptBytes();
  return {
    read(piece, maxBytes) {
      const { bytes, at } = piece;
      const found = bytes.indexOf(lf, at);
      const end = found < 0 ? bytes.length : found + 1;
      if (kept.length() + end - at > maxBytes + 2) throw new RequestFault(400, 'a line that is too long');
      piece.at = end;
      if (found < 0 || kept.length() > 0) kept.add(bytes, at, end);
      if (found < 0) return undefined;
      const line = kept.length() > 0 ? kept.take().toString('latin1') : bytes.toString('latin1', at, end);
      if (!line.endsWith('\r\n')) throw new RequestFault(400, 'a line that ends without CR');
      return line.slice(0, -2);
    },
  };
}
