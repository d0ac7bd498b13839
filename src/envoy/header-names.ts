import { forgedPrefixes, isForged } from '../check/answer.ts';

/**
 * Header names as the bytes of a message. Most headers of a request are nothing to us: they are passed over
 * without a string being made of them.
 */
export interface HeaderNames {
  /** The wanted name that stands there in any case, or undefined. */
  readonly find: (bytes: Uint8Array, start: number, end: number) => string | undefined;
  /**
   * The name that stands there, in lower case, if it looks like one of ours. Throws RangeError where it does
   * but is no name at all.
   */
  readonly findForged: (bytes: Buffer, start: number, end: number) => string | undefined;
}

export function createHeaderNames(wanted: ReadonlySet<string>): HeaderNames {
  const wantedByLength = new Map<number, string[]>();
  for (const name of wanted) {
    const sameLength = wantedByLength.get(name.length);
    if (sameLength === undefined) wantedByLength.set(name.length, [name]);
    else sameLength.push(name);
  }
  const shortestForged = Math.min(...forgedPrefixes.map((prefix) => prefix.length));
  // Two letters tell nearly all other headers apart; between them stands a hyphen, or an underscore.
  const firstLetters = new Set(forgedPrefixes.map((prefix) => prefix.charCodeAt(0)));
  const thirdLetters = new Set(forgedPrefixes.map((prefix) => prefix.charCodeAt(2)));
  return {
    find: (bytes, start, end) =>
      wantedByLength.get(end - start)?.find((name) => isNameAt(name, bytes, start)),
    findForged(bytes, start, end) {
      if (end - start < shortestForged) return undefined;
      if (!firstLetters.has(lower(bytes[start])) || !thirdLetters.has(lower(bytes[start + 2])))
        return undefined;
      const name = bytes.toString('latin1', start, end).toLowerCase();
      if (!isForged(name)) return undefined;
      if (!fieldName.test(name)) throw new RangeError('a header name with characters that none can have');
      return name;
    },
  };
}

/** RFC 9110 section 5.6.2: token. */
const fieldName = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

function isNameAt(name: string, bytes: Uint8Array, start: number): boolean {
  for (let at = 0; at < name.length; at += 1) {
    if (lower(bytes[start + at]) !== name.charCodeAt(at)) return false;
  }
  return true;
}

function lower(byte: number | undefined): number {
  if (byte === undefined) return 0;
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}
