import { type Framing, readFraming } from './framing.ts';
import { fieldLine } from './grammar.ts';
import { RequestFault } from './request-fault.ts';

/** Request line and headers (RFC 9112 sections 3 and 5). */
export interface RequestHead {
  readonly method: string;
  /** As sent: a path with its query, a whole URI of http or https, or, of OPTIONS alone, an asterisk. */
  readonly target: string;
  /** Names and values by turns, as sent; values without the blanks around them. */
  readonly rawHeaders: readonly string[];
  readonly framing: Framing;
  /** In bytes. */
  readonly length: number;
}

/** An empty line may come before all (section 2.2). */
const wholeHead = new RegExp(
  `^(?:\\r\\n)?[A-Z-]+ [\\x21-\\x7e]+ HTTP/1\\.[01]\\r\\n(?:${fieldLine})*\\r\\n$`,
);

/** Where some servers take a tab for a blank, and some do not. */
const framingWithTab = /\n(?:connection|content-length|expect|transfer-encoding|upgrade):[^\r]*\t/i;

/**
 * The bytes of a head, with the empty line at its end. Throws RequestFault where they are none: nowhere laxer than Node's own
 * parser, and stricter wherever that takes what another server could read in another way. Target, names and values are cut out of
 * one text: of what is to be remembered, `ownText`.
 */
export function readRequestHead(bytes: Buffer, start: number, end: number): RequestHead {
  const text = bytes.toString('latin1', start, end);
  if (!wholeHead.test(text)) throw new RequestFault(400, 'no head of a request');
  const methodStart = text.charCodeAt(0) === cr ? 2 : 0;
  const methodEnd = text.indexOf(' ', methodStart);
  const targetEnd = text.indexOf(' ', methodEnd + 1);
  const method = text.slice(methodStart, methodEnd);
  const target = text.slice(methodEnd + 1, targetEnd);
  if (!methods.has(method)) throw new RequestFault(400, 'a method that nobody knows');
  if (text.includes('\t') && framingWithTab.test(text))
    throw new RequestFault(400, 'a tab in a header that frames');
  assertTarget(target, method);
  const isOldVersion = text.charCodeAt(targetEnd + ' HTTP/1.'.length) === zero;
  const rawHeaders: string[] = [];
  let at = targetEnd + ' HTTP/1.1\r\n'.length;
  while (at < text.length - 2) {
    const colon = text.indexOf(':', at);
    const lineEnd = text.indexOf('\r', colon);
    let valueStart = colon + 1;
    while (isBlank(text, valueStart)) valueStart += 1;
    let valueEnd = lineEnd;
    while (valueEnd > valueStart && isBlank(text, valueEnd - 1)) valueEnd -= 1;
    rawHeaders.push(text.slice(at, colon), text.slice(valueStart, valueEnd));
    at = lineEnd + 2;
  }
  const framing = readFraming(rawHeaders, isOldVersion);
  return { method, target, rawHeaders, framing, length: text.length };
}

const cr = 0x0d;
const zero = 0x30;

function isBlank(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code === 0x20 || code === 0x09;
}

/** Those that Node knows, without CONNECT: nobody asks for a tunnel here. */
const methods: ReadonlySet<string> = new Set(
  (
    'ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH ' +
    'POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE'
  ).split(' '),
);

/** Without `user@` (RFC 9110 section 4.2.4). */
const wholeUri = /^https?:\/\/[\w.~%:[\]-]+(?:[/?]|$)/i;

/** Section 3.2. */
function assertTarget(target: string, method: string): void {
  if (target.startsWith('/') || (target === '*' && method === 'OPTIONS') || wholeUri.test(target)) return;
  throw new RequestFault(400, 'a target that is none');
}
