import { describe, expect, it } from 'vitest';
import type { UnaryHandler } from '../../../src/envoy/grpc/unary-call.ts';
import { data, frameType, rstStream } from '../http2/frames.ts';
import { settled } from '../http2/open-connection.ts';
import { callHead, message, openService } from './open-service.ts';

const ok = { ':status': '200', 'content-type': 'application/grpc', 'grpc-status': '0' };
const failed = (code: number) => ({ ':status': '200', 'grpc-status': String(code) });

describe('a call', () => {
  it('goes in as one message and comes back as one', async () => {
    const { call, bodyOf } = await openService();
    expect(await call(1, message('hello'))).toEqual(ok);
    expect(bodyOf(1)).toEqual(message('hello'));
    expect(await call(3, message(''))).toEqual(ok);
    expect(bodyOf(3)).toEqual(message(''));
  });

  it.each([1, 2, 3, 7])('is put together from frames of %d bytes', async (bytes) => {
    const { send, bodyOf, fieldsOf } = await openService();
    const whole = message('in several pieces');
    const pieces: Buffer[] = [];
    for (let at = 0; at < whole.length; at += bytes) pieces.push(data(1, whole.subarray(at, at + bytes)));
    await send(callHead(1), ...pieces);
    expect(fieldsOf(1)).toEqual({});
    await send(data(1, Buffer.alloc(0), true));
    expect(bodyOf(1)).toEqual(whole);
    expect(fieldsOf(1)).toEqual(ok);
  });

  it.each(['application/grpc', 'application/grpc+proto', 'application/grpc;charset=utf-8'])(
    'is one with content type %s',
    async (type) => {
      const { call } = await openService();
      expect(await call(1, message('x'), [['content-type', type]])).toEqual(ok);
    },
  );

  it.each(['application/json', 'application/grpcx', 'application/grpc-web', ''])(
    'is none with content type %j: 415',
    async (type) => {
      const { call } = await openService();
      expect(await call(1, message('x'), [['content-type', type]])).toEqual({ ':status': '415' });
    },
  );

  it('is none by GET: 405', async () => {
    const { call } = await openService();
    expect(await call(1, message('x'), [[':method', 'GET']])).toEqual({ ':status': '405' });
  });

  it('of a method that is not there is UNIMPLEMENTED, whoever goes on sending', async () => {
    const { call, send } = await openService();
    const fields = [[':path', '/test.Service/Nothing']] as const;
    expect(await call(1, message('x'), fields)).toMatchObject(failed(12));
    await send(callHead(3, fields), data(3, message('x')), data(3, message('x'), true));
    expect(await call(5, message('x'))).toEqual(ok);
  });

  it('with headers that are too long is RESOURCE_EXHAUSTED, and the next is read as ever', async () => {
    const { call } = await openService();
    expect(await call(1, message('x'), [['x-long', 'y'.repeat(3000)]])).toMatchObject(failed(8));
    expect(await call(3, message('x'))).toEqual(ok);
  });

  it.each([
    ['two messages', Buffer.concat([message('one'), message('two')]), 12],
    ['three messages', Buffer.concat([message(''), message(''), message('')]), 12],
    ['no message', Buffer.alloc(0), 13],
    ['less than a message says', message('whole').subarray(0, 7), 13],
    ['less than what stands before a message', Buffer.alloc(3), 13],
    ['a message and the beginning of another', Buffer.concat([message('one'), Buffer.of(0)]), 13],
    ['a compressed message', message('x', 1), 12],
    ['a prefix that can not be', message('x', 2), 13],
    ['a message that is too long', message(Buffer.alloc(1001)), 8],
    ['one that only says so', Buffer.from('00ffffffff', 'hex'), 8],
  ])('with %s fails', async (_what, body, code) => {
    let handled = 0;
    const unary: UnaryHandler = (bytes, _call, send) => {
      handled += 1;
      send(bytes);
    };
    const { call, ofType } = await openService({ unary });
    expect(await call(1, body)).toMatchObject(failed(code));
    expect(handled).toBe(0);
    expect(ofType(frameType.data, 1)).toEqual([]);
    // The same, a byte at a time.
    const { send, fieldsOf } = await openService({ unary });
    await send(
      callHead(1),
      ...[...body].map((byte) => data(1, Buffer.of(byte))),
      data(1, Buffer.alloc(0), true),
    );
    expect(fieldsOf(1)).toMatchObject(failed(code));
    expect(handled).toBe(0);
  });

  it('of the longest message that may be is taken', async () => {
    const { call } = await openService();
    expect(await call(1, message(Buffer.alloc(1000)))).toEqual(ok);
  });

  it.each([
    [undefined, Number.POSITIVE_INFINITY],
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['4m', 4],
    ['5000u', 5],
    ['6000000n', 6],
    ['99999999H', 99_999_999 * 3_600_000],
    ['0m', 0],
    ['100000000m', Number.POSITIVE_INFINITY],
    ['1x', Number.POSITIVE_INFINITY],
    ['-1S', Number.POSITIVE_INFINITY],
  ])('with grpc-timeout %s waits %d ms', async (timeout, ms) => {
    let deadlineAtMs = 0;
    const { call } = await openService({
      unary: (bytes, start, send) => {
        ({ deadlineAtMs } = start);
        send(bytes);
      },
    });
    const before = Date.now();
    await call(1, message('x'), timeout === undefined ? [] : [['grpc-timeout', timeout]]);
    expect(deadlineAtMs).toBeGreaterThanOrEqual(before + ms);
    expect(deadlineAtMs).toBeLessThanOrEqual(Date.now() + ms);
  });

  it('that fails says why, percent-encoded', async () => {
    const { call } = await openService({
      unary: (_bytes, _call, _send, fail) => fail({ code: 9, details: 'größer als 100 %\n' }),
    });
    expect(await call(1, message('x'))).toMatchObject({
      ...failed(9),
      'grpc-message': 'gr%C3%B6%C3%9Fer als 100 %25%0A',
    });
  });

  it('may fail without a word, or with more words than are sent', async () => {
    const details = ['', '\u{1f600}'.repeat(5000)];
    const { call } = await openService({
      unary: (_bytes, _call, _send, fail) => fail({ code: 9, details: details.shift() ?? '' }),
    });
    expect(await call(1, message('x'))).not.toHaveProperty('grpc-message');
    expect((await call(3, message('x')))['grpc-message']).toMatch(/^(%F0%9F%98%80){250}$/);
  });

  it('is answered once, whatever its handler does', async () => {
    const { call, ofType } = await openService({
      unary: (bytes, _call, send, fail) => {
        send(bytes);
        fail({ code: 9, details: '' });
        send(bytes);
      },
    });
    expect(await call(1, message('x'))).toEqual(ok);
    expect(ofType(frameType.headers, 1)).toHaveLength(2);
    expect(ofType(frameType.data, 1)).toHaveLength(1);
  });

  it('that nobody waits for any more is worked for to its end, and is answered to nobody', async () => {
    const answers: (() => void)[] = [];
    const { send, call, ofType } = await openService({
      unary: (bytes, _call, answer) => answers.push(() => answer(bytes)),
      limits: { maxConcurrentStreams: 2 },
    });
    await send(callHead(1), data(1, message('x'), true), rstStream(1));
    // Left in the middle of its request: nothing is worked for.
    for (const id of [3, 5, 7])
      await send(callHead(id), data(id, message('xyz').subarray(0, 6)), rstStream(id));
    expect(answers).toHaveLength(1);
    answers[0]?.();
    await settled();
    expect(ofType(frameType.headers, 1)).toEqual([]);
    await call(9, message('y'));
    answers[1]?.();
    await settled();
    expect(ofType(frameType.headers, 9)).toHaveLength(2);
  });
});
