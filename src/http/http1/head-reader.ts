import { createKeptBytes } from './kept-bytes.ts';
import type { Piece } from './piece.ts';
import { readRequestHead, type RequestHead } from './request-head.ts';
import { RequestFault } from './request-fault.ts';

/** The heads of requests, one after the other, in pieces of any size. */
export interface HeadReader {
  /** Undefined: more has to come. Throws RequestFault. */
  readonly read: (piece: Piece) => RequestHead | undefined;
  /** Whether a part of one has come. */
  readonly isBegun: () => boolean;
}

const lf = 0x0a;
const cr = 0x0d;

/** Every byte is looked at a few times, however the pieces are cut. `maxBytes` are those of a head. */
export function createHeadReader(maxBytes: number): HeadReader {
  const kept = createKeptBytes();
  /** Of what is kept. */
  let lines = 0;
  let lastLineBytes = 0;
  let lastByte = 0;

  function read(piece: Piece): RequestHead | undefined {
    const { bytes, at } = piece;
    if (kept.length() > 0) return readOn(piece);
    const emptyLine = bytes.indexOf('\r\n\r\n', at, 'latin1');
    if (emptyLine < 0) return begin(piece);
    const end = emptyLine + 4;
    assertLength(end - at);
    piece.at = end;
    return readRequestHead(bytes, at, end);
  }

  function begin(piece: Piece): RequestHead | undefined {
    // Another protocol is not waited for: TLS, say.
    if (!beginsMethod(piece.bytes[piece.at])) throw new RequestFault(400, 'no head of a request');
    lines = 0;
    lastLineBytes = 0;
    return readOn(piece);
  }

  function readOn(piece: Piece): RequestHead | undefined {
    const { bytes, at } = piece;
    const end = headEnd(piece);
    assertLength(kept.length() + (end ?? bytes.length) - at);
    kept.add(bytes, at, end ?? bytes.length);
    piece.at = end ?? bytes.length;
    if (end === undefined) return undefined;
    const head = kept.take();
    return readRequestHead(head, 0, head.length);
  }

  /** Behind the first empty line that is not the first of all. Undefined: it is not there. */
  function headEnd({ bytes, at }: Piece): number | undefined {
    let lineStart = at;
    for (;;) {
      const lineEnd = bytes.indexOf(lf, lineStart);
      if (lineEnd < 0) break;
      const before = lineEnd > at ? bytes[lineEnd - 1] : lastByte;
      if (before !== cr) throw new RequestFault(400, 'a line that ends without CR');
      const isEmpty = lastLineBytes + lineEnd - lineStart === 1;
      if (isEmpty && lines > 0) return lineEnd + 1;
      lines += 1;
      lastLineBytes = 0;
      lineStart = lineEnd + 1;
    }
    lastLineBytes += bytes.length - lineStart;
    lastByte = bytes[bytes.length - 1] ?? 0;
    return undefined;
  }

  function assertLength(bytes: number): void {
    if (bytes > maxBytes) throw new RequestFault(431, 'a head that is too long');
  }

  return { read, isBegun: () => kept.length() > 0 };
}

/** Or the empty line that may come before. */
function beginsMethod(code = 0): boolean {
  return code === cr || (code >= 0x41 && code <= 0x5a);
}
