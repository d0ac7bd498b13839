import { below, oneOf, type Random } from '../../support/random.ts';

/** Requests on one connection, in some of the ways in which they may be said. */
export function converse(random: Random): string {
  let said = '';
  for (let count = 1 + below(random, 4); count > 0; count -= 1) said += request(random);
  return said;
}

function request(random: Random): string {
  const lines = [cased(random, 'Host') + colon(random) + 'a'];
  for (let more = below(random, 3); more > 0; more -= 1)
    lines.splice(below(random, 2), 0, oneOf(random, harmless));
  const target = oneOf(random, ['/', '/a?b=c', '/long/'.repeat(9), 'http://a:80/b', '*']);
  const method = target === '*' ? 'OPTIONS' : oneOf(random, ['GET', 'POST', 'HEAD', 'DELETE', 'M-SEARCH']);
  const version = random() < 0.9 ? '1.1' : '1.0';
  const hidden = 'GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n'.slice(0, below(random, 40));
  let body = '';
  const how = random();
  if (how < 0.35) {
    body = hidden;
    lines.push(`${cased(random, 'Content-Length')}${colon(random)}${body.length}${oneOf(random, ['', ' '])}`);
  } else if (how < 0.7 && version === '1.1') {
    lines.push(`${cased(random, 'Transfer-Encoding')}${colon(random)}${cased(random, 'chunked')}`);
    body = chunks(random, hidden);
  }
  if (version === '1.0') lines.push('Connection: keep-alive');
  else if (random() < 0.1) lines.push(`Expect:${cased(random, '100-continue')}`);
  return `${method} ${target} HTTP/${version}\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}

const harmless = [
  'X-A:1',
  'X-Tab:\t1\t2\t',
  'x-b: \t two words \t',
  'Accept: */*',
  'X-Empty:',
  'Cookie: \x80\xff',
  'connection: x',
  `X-Long: ${'l'.repeat(200)}`,
];

function chunks(random: Random, data: string): string {
  let said = '';
  for (let at = 0; at < data.length; ) {
    const size = 1 + below(random, 15);
    const chunk = data.slice(at, at + size);
    const digits = oneOf(random, ['', '0', '000']) + chunk.length.toString(16);
    said += `${cased(random, digits)}${oneOf(random, ['', '', ';a', ';a=b'])}\r\n${chunk}\r\n`;
    at += size;
  }
  return `${said}${oneOf(random, ['0', '00'])}\r\n${oneOf(random, ['', '', 'x: y\r\n'])}\r\n`;
}

function cased(random: Random, text: string): string {
  return oneOf(random, [text, text.toLowerCase(), text.toUpperCase()]);
}

function colon(random: Random): string {
  return oneOf(random, [': ', ':', ':  ']);
}

/** What decides where a request ends, and how it can be said wrongly. */
const dangers = [
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Content-Length: 05\r\n',
  'Content-Length: 5, 5\r\n',
  'Content-Length: +5\r\n',
  'Content-Length : 5\r\n',
  'Content-Length:\r\n',
  'Content-Length:\t5\r\n',
  'Content-Length: 5\t\r\n',
  'Content_Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer-Encoding: chunked, identity\r\n',
  'Transfer-Encoding:\x0bchunked\r\n',
  'Transfer-Encoding\t: chunked\r\n',
  'Host: b\r\n',
  'Expect: wonders\r\n',
  'Connection: close\r\n',
  'Connection:\tclose\r\n',
  'Connection: keep-alive, close\r\n',
  'Upgrade: h2c\r\nConnection: upgrade\r\n',
  ' folded\r\n',
  '\tfolded\r\n',
  '0\r\n\r\n',
  '5\r\nhello\r\n',
  '5;a="\r\n"\r\n',
  '\r\n',
  '\r\n\r\n',
  '\n',
  '\r',
  '\n\n',
  '\0',
  '\t',
  ' ',
  ':',
  ';',
  ',',
  '\x7f',
  '\x80',
  '0',
  'f',
  'GET /spliced HTTP/1.1\r\nHost: s\r\n\r\n',
  'HTTP/1.1 200 OK\r\n\r\n',
];

/** Where an edit is most likely to move the end of something. */
const places = /\r\n|:|[Cc]ontent-[Ll]ength|[Cc]hunked|HTTP\/1\.|\b[0-9a-f]{1,4}(?=[;\r])/g;

export function mutate(random: Random, said: string): string {
  let text = said;
  for (let times = below(random, 4); times > 0; times -= 1) {
    const at = placeIn(random, text);
    const [before, after] = [text.slice(0, at), text.slice(at)];
    const length = 1 + below(random, 6);
    const how = random();
    if (how < 0.4) text = before + oneOf(random, dangers) + after;
    else if (how < 0.6) text = before + after.slice(length);
    else if (how < 0.8) text = before + String.fromCharCode(below(random, 256)) + after.slice(1);
    else if (how < 0.9) text = before + after.slice(0, length) + after;
    else if (how < 0.95) text = before + text.slice(placeIn(random, text)).slice(0, 60) + after;
    else text = before;
  }
  return text;
}

function placeIn(random: Random, text: string): number {
  if (random() < 0.3) return below(random, text.length + 1);
  const found = Array.from(
    text.matchAll(places),
    ({ index, 0: { length } }) => index + below(random, length + 1),
  );
  return found.length === 0 ? 0 : oneOf(random, found);
}

/** In pieces of any size. */
export function cut(random: Random, text: string): readonly string[] {
  if (random() < 0.03) return Array.from(text);
  const cuts = Array.from({ length: below(random, 4) }, () => below(random, text.length + 1)).sort(
    (a, b) => a - b,
  );
  return [0, ...cuts]
    .map((from, at) => text.slice(from, cuts[at] ?? text.length))
    .filter((piece) => piece !== '');
}
