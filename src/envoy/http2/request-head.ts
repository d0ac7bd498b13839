import type { HeaderField } from './header-table.ts';

/** The pseudo-header fields of a request (RFC 9113 section 8.3.1), and what HTTP/2 itself heeds of the others. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  /** -1: it is not said. */
  readonly contentLength: number;
}

/** Undefined: the request is malformed (section 8.1.1). */
export function readRequestHead(fields: readonly HeaderField[]): RequestHead | undefined {
  let method: string | undefined;
  let path: string | undefined;
  let scheme: string | undefined;
  let authority: string | undefined;
  let contentLength = -1;
  let isPastPseudo = false;
  for (const { name, value, kind } of fields) {
    if (kind === 'forbidden') return undefined;
    if (kind === 'regular') {
      isPastPseudo = true;
      if (name === 'content-length') contentLength = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
      continue;
    }
    if (isPastPseudo) return undefined;
    if (name === ':method' && method === undefined) method = value;
    else if (name === ':path' && path === undefined) path = value;
    else if (name === ':scheme' && scheme === undefined) scheme = value;
    else if (name === ':authority' && authority === undefined) authority = value;
    else return undefined;
  }
  if (method === undefined || scheme === undefined || path === undefined || path === '') return undefined;
  return Number.isNaN(contentLength) ? undefined : { method, path, contentLength };
}
