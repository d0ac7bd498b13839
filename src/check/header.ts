/** A header field of HTTP, the same through every door: its name in lower case, its value always valid. */
export type Header = readonly [name: string, value: string];

const plain = /^[\x21-\x24\x26-\x7e]*$/;

/**
 * Any text as the value of a header: what is not visible ASCII, and `%` itself, as the percent-encoded bytes of
 * its UTF-8 form, so that `decodeURIComponent` gives the text back. User names may hold line breaks and bytes that
 * proxies refuse; refusing the request would lock out people for their name, dropping the characters could give
 * two people one name.
 */
export function headerValue(text: string): string {
  if (plain.test(text)) return text;
  return Buffer.from(text)
    .toString('latin1')
    .replace(
      /[^\x21-\x24\x26-\x7e]/g,
      (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    );
}

/** Text between the quotes of a quoted-string or of a structured field's string (RFC 9651 section 3.3.3). */
export function quoted(text: string): string {
  return headerValue(text).replace(/["\\]/g, '\\$&');
}

/** The greatest whole number that structured fields can hold (RFC 9651 section 3.3.1). */
const maxWholeNumber = 999_999_999_999_999;

/** Never negative, never a fraction, never more than a structured field can hold. */
export function wholeNumber(amount: number): number {
  return amount > 0 ? Math.min(Math.floor(amount), maxWholeNumber) : 0;
}

/** Seconds rounded up: whoever waits that long has waited long enough. */
export function wholeSeconds(durationMs: number): number {
  return wholeNumber(Math.ceil(durationMs / 1000));
}
