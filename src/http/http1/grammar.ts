/** What may stand where, as sources of regular expressions over text in Latin-1, where a character is a byte. */

/** RFC 9110 section 5.6.2. */
export const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";

/**
 * A line of a header with its end (RFC 9112 section 5): the colon right behind the name; visible characters, blanks, tabs and
 * what lies beyond ASCII in the value (RFC 9110 section 5.5); no fold, and no other end than CRLF.
 */
export const fieldLine = `${token}:[\\t\\x20-\\x7e\\x80-\\xff]*\\r\\n`;
