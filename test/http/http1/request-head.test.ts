import { describe, expect, it } from 'vitest';
import { readRequestHead } from '../../../src/http/http1/request-head.ts';

function read(text: string) {
  const bytes = Buffer.from(`before${text}after`, 'latin1');
  return readRequestHead(bytes, 'before'.length, bytes.length - 'after'.length);
}

function statusOf(text: string): number {
  try {
    read(text);
    return 200;
  } catch (error) {
    return (error as { readonly status: number }).status;
  }
}

const host = 'Host: a\r\n';
const line = 'POST /a?b=c HTTP/1.1\r\n';
/** With a line more. */
const withLine = (more: string) => `${line}${host}${more}\r\n\r\n`;

describe('the head of a request', () => {
  it('is read as it was sent, without the blanks around values', () => {
    const text =
      'POST /a?b=c#d HTTP/1.1\r\nHOST:a\r\nX-Empty:\r\nx-blank: \t \r\nx: \t one \x80\xff two\t \r\n\r\n';
    expect(read(text)).toEqual({
      method: 'POST',
      target: '/a?b=c#d',
      rawHeaders: ['HOST', 'a', 'X-Empty', '', 'x-blank', '', 'x', 'one \x80\xff two'],
      length: text.length,
      framing: {
        isOldVersion: false,
        isChunked: false,
        contentLength: 0,
        keepsOpen: true,
        awaitsContinue: false,
      },
    });
  });

  it('may stand behind one empty line', () => {
    expect(read(`\r\n${line}${host}\r\n`).rawHeaders).toEqual(['Host', 'a']);
    expect(statusOf(`\r\n\r\n${line}${host}\r\n`)).toBe(400);
  });

  it('holds every character that its parts may, and no other', () => {
    const all = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
    const taken = (text: (character: string) => string) =>
      all.filter((character) => statusOf(text(character)) === 200).join('');
    const visible = all.slice(0x21, 0x7f).join('');
    expect(taken((character) => `GET /${character} HTTP/1.1\r\n${host}\r\n`)).toBe(visible);
    // The colon ends the name.
    expect(taken((character) => withLine(`x${character}: 1`))).toBe(
      "!#$%&'*+-.0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~",
    );
    expect(taken((character) => withLine(`x: 1${character}2`))).toBe(
      `\t ${visible}${all.slice(0x80).join('')}`,
    );
  });

  it('may be as many headers as fit', () => {
    expect(read(`${line}${host}${'a:\r\n'.repeat(16_000)}\r\n`).rawHeaders).toHaveLength(32_002);
  });

  it.each([
    ['GET', '/', 200],
    ['M-SEARCH', '/', 200],
    ['GET', 'http://a.example:80/b', 200],
    ['GET', 'HTTPS://[::1]?b', 200],
    ['OPTIONS', '*', 200],
    ['GET', '*', 400],
    ['OPTIONS', '*a', 400],
    ['GET', 'a', 400],
    ['GET', 'ftp://a/b', 400],
    ['GET', 'http://', 400],
    ['GET', 'http:/a', 400],
    ['GET', 'http://user@a/b', 400],
    ['GET', '//a', 200],
    ['CONNECT', 'a:443', 400],
    ['CONNECT', '/', 400],
    ['get', '/', 400],
    ['GETS', '/', 400],
    ['', '/', 400],
    ['constructor', '/', 400],
  ])('%s %s: %d', (method, target, status) => {
    expect(statusOf(`${method} ${target} HTTP/1.1\r\n${host}\r\n`)).toBe(status);
  });

  it.each([
    'GET / HTTP/1.2',
    'GET / HTTP/2.0',
    'GET / HTTP/0.9',
    'GET / HTTP/1.01',
    'GET / http/1.1',
    'GET / HTTP/1.1 ',
    'GET  / HTTP/1.1',
    'GET\t/ HTTP/1.1',
    'GET /  HTTP/1.1',
    ' GET / HTTP/1.1',
    'GET / ICE/1.0',
    'GET /',
  ])('does not begin with %j', (first) => {
    expect(statusOf(`${first}\r\n${host}\r\n`)).toBe(400);
  });

  it.each([
    'x : 1',
    ': 1',
    'x',
    ' x: 1',
    'x: 1\r\n 2',
    'x: 1\n',
    'x: 1\ny: 2',
    'x: 1\ry: 2',
    'x: 1\0',
    'x: 1\x7f',
    'x\x80: 1',
    '\r\nx: 1',
  ])('has no line %j', (more) => {
    expect(statusOf(withLine(more))).toBe(400);
  });

  it.each([
    ['HTTP/1.1', '', 400],
    ['HTTP/1.1', 'Host:\r\n', 200],
    ['HTTP/1.1', `${host}host: b\r\n`, 400],
    ['HTTP/1.0', '', 200],
    ['HTTP/1.0', `${host}${host}`, 400],
  ])('of %s with %j: %d', (version, hosts, status) => {
    expect(statusOf(`GET / ${version}\r\n${hosts}\r\n`)).toBe(status);
  });
});

describe('the framing of a request', () => {
  const framingOf = (more: string, version = '1.1') =>
    read(`POST / HTTP/${version}\r\n${host}${more}\r\n\r\n`).framing;

  it.each([
    ['Content-Length: 7', { contentLength: 7, isChunked: false }],
    ['content-length:  007 ', { contentLength: 7, isChunked: false }],
    ['Content-Length: 0', { contentLength: 0, isChunked: false }],
    ['TRANSFER-ENCODING: Chunked', { contentLength: 0, isChunked: true }],
    ['Connection: close', { keepsOpen: false }],
    ['Connection: x, CLOSE ,y', { keepsOpen: false }],
    ['Connection: x\r\nConnection: close', { keepsOpen: false }],
    ['Connection: closed', { keepsOpen: true }],
    ['Connection: keep-alive', { keepsOpen: true }],
    ['Upgrade: h2c', { keepsOpen: false }],
    ['Expect: 100-Continue', { awaitsContinue: true }],
  ])('%j is %j', (more, expected) => {
    expect(framingOf(more)).toMatchObject(expected);
  });

  it.each([
    ['x: 1', { keepsOpen: false }],
    ['Connection: Keep-Alive', { keepsOpen: true }],
    ['Connection: keep-alive, close', { keepsOpen: false }],
    ['Expect: 100-continue', { awaitsContinue: false }],
  ])('%j of HTTP/1.0 is %j', (more, expected) => {
    expect(framingOf(more, '1.0')).toMatchObject(expected);
  });

  it.each([
    ['Content-Length:', 400],
    ['Content-Length:\t1', 400],
    ['x: 1\r\ncontent-length: 1\t', 400],
    ['Transfer-Encoding: chunked\t', 400],
    ['Connection: keep-alive\t', 400],
    ['Content-Length: +1', 400],
    ['Content-Length: -1', 400],
    ['Content-Length: 0x1', 400],
    ['Content-Length: 1.0', 400],
    ['Content-Length: 1 1', 400],
    ['Content-Length: 1, 1', 400],
    ['Content-Length: 1\r\nContent-Length: 1', 400],
    ['Content-Length: 1\r\ncontent-length: 2', 400],
    [`Content-Length: ${'9'.repeat(16)}`, 400],
    ['Content-Length: 1\r\nTransfer-Encoding: chunked', 400],
    ['Transfer-Encoding: chunked\r\nContent-Length: 0', 400],
    ['Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', 400],
    ['Transfer-Encoding: chunked, chunked', 400],
    ['Transfer-Encoding: gzip, chunked', 400],
    ['Transfer-Encoding: identity', 400],
    ['Transfer-Encoding: "chunked"', 400],
    ['Transfer-Encoding: chunked;a=b', 400],
    ['Transfer-Encoding: xchunked', 400],
    ['Transfer-Encoding:', 400],
    ['Expect: wonders', 417],
    ['Expect: 100-continue, wonders', 417],
    ['Expect: 100-continue\r\nExpect: 100-continue', 417],
    ['Expect:', 417],
  ])('%j is refused: %d', (more, status) => {
    expect(statusOf(withLine(more))).toBe(status);
  });

  it('knows no chunks in HTTP/1.0', () => {
    expect(statusOf('POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n')).toBe(400);
  });
});
