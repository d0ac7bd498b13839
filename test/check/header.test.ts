import { Agent, createServer, request } from 'node:http';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { headerValue, quoted, wholeNumber, wholeSeconds } from '../../src/check/header.ts';

describe('a header value', () => {
  it.each([
    ['alice@example.com', 'alice@example.com'],
    ['system:serviceaccount:ns:name', 'system:serviceaccount:ns:name'],
    ['CN=Doe, John', 'CN=Doe,%20John'],
    ['a\r\nx-tiergate-tier: enterprise', 'a%0D%0Ax-tiergate-tier:%20enterprise'],
    ['100%', '100%25'],
    ['Zoë', 'Zo%C3%AB'],
    ['名', '%E5%90%8D'],
    ['a\0b\tc\x7f', 'a%00b%09c%7F'],
    ['', ''],
  ])('of %j is %j', (text, value) => {
    expect(headerValue(text)).toBe(value);
  });

  it('is visible ASCII, and gives the text back, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
        (text) => {
          const value = headerValue(text);
          expect(value).toMatch(/^[\x21-\x7e]*$/);
          expect(decodeURIComponent(value)).toBe(Buffer.from(text).toString());
        },
      ),
    );
  });

  it('is one that HTTP carries', async () => {
    const server = createServer((received, response) => response.end(received.headers['x-user'])).listen(
      0,
      '127.0.0.1',
    );
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const value = headerValue('\0\r\n\t \x7fé名"\\;,');
    const agent = new Agent();
    const echoed = await new Promise<string>((resolve, reject) => {
      request({ port, agent, headers: { 'x-user': value } }, (response) => {
        response.setEncoding('utf8').once('data', resolve);
      })
        .once('error', reject)
        .end();
    });
    agent.destroy();
    server.close();
    expect(echoed).toBe(value);
  });

  it('between quotes has its quotes and backslashes escaped', () => {
    expect(quoted('a "b" \\c')).toBe('a%20\\"b\\"%20\\\\c');
  });
});

describe('a whole number', () => {
  it.each([
    [-1, 0],
    [0, 0],
    [0.9, 0],
    [19.9, 19],
    [Number.NaN, 0],
    [Number.NEGATIVE_INFINITY, 0],
    [Number.POSITIVE_INFINITY, 999_999_999_999_999],
  ])('of %j is %j', (amount, whole) => {
    expect(wholeNumber(amount)).toBe(whole);
  });

  it.each([
    [0, 0],
    [1, 1],
    [999, 1],
    [1000, 1],
    [1001, 2],
    [-5, 0],
  ])('of seconds in %j ms is %j', (durationMs, seconds) => {
    expect(wholeSeconds(durationMs)).toBe(seconds);
  });
});
