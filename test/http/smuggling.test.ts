import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { CheckInput } from '../../src/check/check-input.ts';
import { denied } from '../../src/check/outcome.ts';
import { answersIn, serveDoor, speak } from './door.ts';

/**
 * A model server behind a shared connection is what smugglers want; here there is only a verdict to steal. So: whatever is
 * sent, each answer is that of the very request that it follows, or a clean refusal and the end of the connection.
 */
const verdict = ({ path, headers }: CheckInput) =>
  denied('model_forbidden', `${path} for ${headers.get('authorization') ?? 'nobody'}`);

interface Try {
  readonly name: string;
  readonly sent: readonly string[];
  /** Status and, of a verdict, what was judged. */
  readonly answers: readonly (readonly [status: number, judged?: string])[];
}

const last = 'Connection: close\r\n';
const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
const post = (more: string, body = '') => `POST /a/a HTTP/1.1\r\nHost: a\r\n${more}\r\n${body}`;
const next = get('/b/b', last);
const judgedA = [403, '/a/a for nobody'] as const;
const judgedB = [403, '/b/b for nobody'] as const;
const refused = [400] as const;

const tries: readonly Try[] = [
  { name: 'pipelined requests', sent: [get('/a/a') + get('/b/b', last)], answers: [judgedA, judgedB] },
  {
    name: 'pipelined requests with tokens of their own',
    sent: [get('/a/a', 'Authorization: Bearer a\r\n') + get('/b/b', `Authorization: Bearer b\r\n${last}`)],
    answers: [
      [403, '/a/a for Bearer a'],
      [403, '/b/b for Bearer b'],
    ],
  },
  {
    name: 'a request in pieces',
    sent: get('/a/a', `Authorization: Bearer a\r\n${last}`).split(/(?=.)/s),
    answers: [[403, '/a/a for Bearer a']],
  },
  {
    name: 'a body, and a request behind it',
    sent: [post('Content-Length: 5\r\n', 'hello') + next],
    answers: [judgedA, judgedB],
  },
  {
    name: 'a body that looks like a request',
    sent: [post(`Content-Length: ${get('/c/c').length}\r\n`, get('/c/c')) + next],
    answers: [judgedA, judgedB],
  },
  {
    name: 'a chunked body, and a request behind it',
    sent: [post('Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n') + next],
    answers: [judgedA, judgedB],
  },
  {
    name: 'trailers that look like credentials',
    sent: [post('Transfer-Encoding: chunked\r\n', '0\r\nAuthorization: Bearer a\r\n\r\n') + next],
    answers: [judgedA, judgedB],
  },
  {
    name: 'a length and chunks (CL.TE)',
    sent: [post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\nG') + next],
    answers: [refused],
  },
  {
    name: 'chunks and a length (TE.CL)',
    sent: [post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `1e\r\n${next}\r\n0\r\n\r\n`)],
    answers: [refused],
  },
  {
    name: 'chunks by another name (TE.TE)',
    sent: [post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n') + next],
    answers: [refused],
  },
  {
    name: 'chunks that are not the last coding',
    sent: [post('Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n') + next],
    answers: [refused],
  },
  {
    name: 'two codings in two headers',
    sent: [post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', '0\r\n\r\n') + next],
    answers: [refused],
  },
  {
    name: 'a space before a colon',
    sent: [post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n') + next],
    answers: [refused],
  },
  {
    name: 'two lengths that differ',
    sent: [post('Content-Length: 5\r\nContent-Length: 6\r\n', 'hello') + next],
    answers: [refused],
  },
  {
    name: 'two lengths that agree',
    sent: [post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello') + next],
    answers: [refused],
  },
  { name: 'a list of lengths', sent: [post('Content-Length: 5, 5\r\n', 'hello') + next], answers: [refused] },
  { name: 'a negative length', sent: [post('Content-Length: -1\r\n') + next], answers: [refused] },
  {
    name: 'a length with a sign',
    sent: [post('Content-Length: +5\r\n', 'hello') + next],
    answers: [refused],
  },
  {
    name: 'a length in hexadecimal',
    sent: [post('Content-Length: 0x5\r\n', 'hello') + next],
    answers: [refused],
  },
  {
    name: 'a length beyond all counting',
    sent: [post(`Content-Length: ${'9'.repeat(30)}\r\n`) + next],
    answers: [refused],
  },
  {
    name: 'a chunk with a length that is none',
    sent: [post('Transfer-Encoding: chunked\r\n', 'zz\r\nhello\r\n0\r\n\r\n') + next],
    answers: [refused],
  },
  {
    name: 'a chunk that is longer than it says',
    sent: [post('Transfer-Encoding: chunked\r\n', '2\r\nhello\r\n0\r\n\r\n') + next],
    answers: [refused],
  },
  {
    name: 'a folded header',
    sent: [get('/a/a', 'X-A: 1\r\n Authorization: Bearer a\r\n') + next],
    answers: [refused],
  },
  {
    name: 'a folded credential',
    sent: [get('/a/a', 'Authorization: Bearer a\r\n\tb\r\n') + next],
    answers: [refused],
  },
  {
    name: 'a fold before any header',
    sent: ['GET /a/a HTTP/1.1\r\n Host: a\r\n\r\n' + next],
    answers: [refused],
  },
  { name: 'a bare line feed', sent: ['GET /a/a HTTP/1.1\nHost: a\n\n' + next], answers: [refused] },
  {
    name: 'a bare carriage return',
    sent: [get('/a/a', 'X-A: 1\rAuthorization: Bearer a\r\n') + next],
    answers: [refused],
  },
  {
    name: 'a NUL in a value',
    sent: [get('/a/a', 'Authorization: Bearer a\0b\r\n') + next],
    answers: [refused],
  },
  {
    name: 'a NUL in a name',
    sent: [get('/a/a', 'Authoriz\0ation: Bearer a\r\n') + next],
    answers: [refused],
  },
  { name: 'a header without a colon', sent: [get('/a/a', 'Authorization\r\n') + next], answers: [refused] },
  { name: 'a header without a name', sent: [get('/a/a', ': Bearer a\r\n') + next], answers: [refused] },
  {
    name: 'headers of 70 kB',
    sent: [get('/a/a', `X-A: ${'x'.repeat(70_000)}\r\n`) + next],
    answers: [[431]],
  },
  { name: 'a path of 70 kB', sent: [get(`/a/${'a'.repeat(70_000)}`) + next], answers: [[431]] },
  {
    name: 'Expect: 100-continue',
    sent: [post('Content-Length: 5\r\nExpect: 100-continue\r\n', 'hello') + next],
    answers: [judgedA, judgedB],
  },
  {
    name: 'an expectation that nobody knows',
    sent: [post('Content-Length: 5\r\nExpect: wonders\r\n', 'hello') + next],
    answers: [[417]],
  },
  {
    name: 'an upgrade to a WebSocket',
    sent: [get('/a/a', 'Connection: Upgrade\r\nUpgrade: websocket\r\n') + next],
    answers: [judgedA],
  },
  {
    name: 'an upgrade to HTTP/2',
    sent: [
      get('/a/a', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n') +
        next,
    ],
    answers: [judgedA],
  },
  { name: 'HTTP/2 itself', sent: ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'], answers: [refused] },
  { name: 'TLS', sent: ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'], answers: [refused] },
  { name: 'CONNECT', sent: ['CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n' + next], answers: [refused] },
  {
    name: 'a method that nobody knows',
    sent: ['HACK /a/a HTTP/1.1\r\nHost: a\r\n\r\n' + next],
    answers: [refused],
  },
  {
    name: 'a method in lower case',
    sent: ['get /a/a HTTP/1.1\r\nHost: a\r\n\r\n' + next],
    answers: [refused],
  },
  {
    name: 'an absolute target',
    sent: [get('http://elsewhere.example/a/a', last)],
    answers: [[403, 'http://elsewhere.example/a/a for nobody']],
  },
  { name: 'a target without a slash', sent: [get('a/a', last)], answers: [refused] },
  {
    name: 'an asterisk',
    sent: ['OPTIONS * HTTP/1.1\r\nHost: a\r\n' + last + '\r\n'],
    answers: [[403, '* for nobody']],
  },
  {
    name: 'a space in the target',
    sent: ['GET /a/a b HTTP/1.1\r\nHost: a\r\n\r\n' + next],
    answers: [refused],
  },
  { name: 'HTTP/1.0', sent: ['GET /a/a HTTP/1.0\r\n\r\n' + next], answers: [judgedA] },
  {
    name: 'HTTP/1.0 that wants to stay',
    sent: ['GET /a/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n' + next],
    answers: [judgedA, judgedB],
  },
  { name: 'HTTP/0.9', sent: ['GET /a/a\r\n\r\n'], answers: [refused] },
  { name: 'HTTP/3.7', sent: ['GET /a/a HTTP/3.7\r\nHost: a\r\n\r\n'], answers: [refused] },
  { name: 'no Host', sent: ['GET /a/a HTTP/1.1\r\n\r\n' + next], answers: [refused] },
];

describe.each([
  { name: 'at once', check: verdict },
  { name: 'later', check: async (input: CheckInput) => verdict(input) },
])('with a verdict that is there $name', ({ check }) => {
  it.each(tries)('$name', async ({ sent, answers }) => {
    const { port, faults } = await serveDoor({ check });
    const found = answersIn(await speak(port, ...sent)).map(({ status, body }) => {
      if (status !== 403) return [status];
      return [status, (JSON.parse(body) as { readonly error: { readonly message: string } }).error.message];
    });
    expect(found).toEqual(answers);
    expect(faults).toEqual([]);
  });
});

describe('garbage behind a request', () => {
  it('that was answered is refused', async () => {
    const { port } = await serveDoor({ check: verdict });
    const answers = answersIn(await speak(port, get('/a/a') + garbage));
    expect(answers.map(({ status }) => status)).toEqual([403, 400]);
  });

  it('that still waits is refused behind its answer, never in its place', async () => {
    const { port } = await serveDoor({ check: async (input) => sleep(30, verdict(input)) });
    const answers = answersIn(await speak(port, get('/a/a') + garbage));
    expect(answers.map(({ status }) => status)).toEqual([403, 400]);
  });
});

const garbage = '\x00\x01garbage\r\n\r\n';

describe('who takes too long', () => {
  const tuning = { headersTimeoutMs: 100, requestTimeoutMs: 200 };

  it.each([
    ['the headers', 'GET /a/a HTTP/1.1\r\nHost: a\r\nX-'],
    ['the body', post('Content-Length: 5\r\n', 'he')],
    ['anything at all', ''],
  ])('for %s is told so, and put out', async (_what, sent) => {
    const { port, recorded } = await serveDoor({ tuning });
    expect(answersIn(await speak(port, sent))).toMatchObject([
      { status: 408, headers: { connection: 'close', 'x-tiergate-reason': 'request_invalid' } },
    ]);
    expect(recorded).toEqual([]);
  });

  it('between two requests is put out without a word', async () => {
    const { port } = await serveDoor({ tuning: { ...tuning, keepAliveMs: 50 } });
    expect(answersIn(await speak(port, get('/a/a')))).toMatchObject([{ status: 200 }]);
  });
});
