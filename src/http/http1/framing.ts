import { RequestFault } from './request-fault.ts';

/** What the headers of a request say of its body and of its connection. */
export interface Framing {
  /** HTTP/1.0. */
  readonly isOldVersion: boolean;
  /** Whether its body comes in chunks (RFC 9112 section 7.1). */
  readonly isChunked: boolean;
  /** Of its body, in bytes; 0 where it is chunked or none comes. */
  readonly contentLength: number;
  /** Whether another request may follow on the connection (section 9.3). */
  readonly keepsOpen: boolean;
  /** Whether the peer awaits a 100 before it sends the body (RFC 9110 section 10.1.1). */
  readonly awaitsContinue: boolean;
}

/**
 * Throws RequestFault wherever the end of the request could be read in two ways (RFC 9112 section 6.3): a length and chunks, two
 * lengths, another coding than chunks or in HTTP/1.0; for any other number of hosts than one (section 3.2), and for an
 * expectation that nobody knows (417).
 */
export function readFraming(rawHeaders: readonly string[], isOldVersion: boolean): Framing {
  let hosts = 0;
  let contentLength: number | undefined;
  let isChunked = false;
  let expectation: string | undefined;
  let connection = '';
  let asksForUpgrade = false;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    const value = rawHeaders[at + 1] ?? '';
    // Nearly all others are told apart by their length.
    switch (name.length) {
      case 4:
        if (is(name, 'host')) hosts += 1;
        break;
      case 6:
        if (is(name, 'expect')) expectation = expectation === undefined ? value.toLowerCase() : 'two';
        break;
      case 7:
        asksForUpgrade ||= is(name, 'upgrade');
        break;
      case 10:
        if (is(name, 'connection')) connection += `,${value}`;
        break;
      case 14:
        if (is(name, 'content-length')) {
          if (contentLength !== undefined) throw new RequestFault(400, 'two lengths');
          contentLength = readLength(value);
        }
        break;
      case 17:
        if (is(name, 'transfer-encoding')) {
          if (isChunked || isOldVersion || value.toLowerCase() !== 'chunked')
            throw new RequestFault(400, 'a transfer coding that is not chunked, once, in HTTP/1.1');
          isChunked = true;
        }
        break;
      default:
    }
  }
  if (isChunked && contentLength !== undefined) throw new RequestFault(400, 'a length and chunks');
  if (hosts > 1 || (hosts === 0 && !isOldVersion)) throw new RequestFault(400, 'not exactly one host');
  if (expectation !== undefined && expectation !== '100-continue')
    throw new RequestFault(417, 'an expectation that nobody knows');
  return {
    isOldVersion,
    isChunked,
    contentLength: contentLength ?? 0,
    // Another protocol is not spoken here, and what the peer sends next may be in it already.
    keepsOpen: !asksForUpgrade && keepsOpen(connection, isOldVersion),
    // Of HTTP/1.0 it has to be passed over.
    awaitsContinue: expectation !== undefined && !isOldVersion,
  };
}

function is(name: string, lowerCase: string): boolean {
  return name === lowerCase || name.toLowerCase() === lowerCase;
}

/** As long as it can be counted with. */
function readLength(value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new RequestFault(400, 'a length that is none');
  return Number(value);
}

function keepsOpen(connection: string, isOldVersion: boolean): boolean {
  if (connection === '') return !isOldVersion;
  const options = new Set(
    connection
      .toLowerCase()
      .split(',')
      .map((option) => option.trim()),
  );
  return !options.has('close') && (!isOldVersion || options.has('keep-alive'));
}
