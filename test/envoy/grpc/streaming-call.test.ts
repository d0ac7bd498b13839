import type { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { data, errorCode, frame, frameFlag, frameType, rstStream } from '../http2/frames.ts';
import { heldBytes } from '../../support/held-bytes.ts';
import { settled } from '../http2/open-connection.ts';
import { callHead, message, method, openService } from './open-service.ts';

const definition = {
  Both: method('Both', true, true),
  Many: method('Many', true, false),
  Watch: method('Watch', false, true),
};

type Done = (error: object | null, value?: Buffer) => void;

/** The three kinds; the calls as their handlers got them. */
async function openStreams(bytesRead?: (bytes: Buffer) => Buffer) {
  const calls: (Duplex & { readonly request?: Buffer; readonly getPeer: () => string })[] = [];
  const dones: Done[] = [];
  const take = (call: unknown, done?: Done) => {
    calls.push(call as (typeof calls)[number]);
    if (done !== undefined) dones.push(done);
  };
  const opened = await openService({
    definition:
      bytesRead === undefined ? definition : { Both: { ...definition.Both, requestDeserialize: bytesRead } },
    implementation: { Both: take, Many: take, Watch: take },
  });
  const open = (streamId: number, name: string) =>
    opened.send(callHead(streamId, [[':path', `/test.Service/${name}`]]));
  const creditOf = (streamId: number) =>
    opened
      .ofType(frameType.windowUpdate, streamId)
      .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  return { ...opened, open, calls, dones, creditOf };
}

describe('a stream of messages', () => {
  it('goes both ways as it comes, until both have ended', async () => {
    const { open, send, calls, bodyOf, fieldsOf, ofType } = await openStreams();
    await open(1, 'Both');
    const [call] = calls;
    call?.on('data', (bytes: Buffer) => call.write(Buffer.from(bytes.toString().toUpperCase())));
    call?.on('end', () => call.end());
    expect(call?.getPeer()).toBe('10.0.0.1:5');
    const two = Buffer.concat([message('one'), message('two')]);
    await send(data(1, two.subarray(0, 10)), data(1, two.subarray(10)));
    expect(bodyOf(1)).toEqual(Buffer.concat([message('ONE'), message('TWO')]));
    expect(fieldsOf(1)).not.toHaveProperty('grpc-status');
    await send(data(1, message('three'), true));
    expect(bodyOf(1).subarray(-5).toString()).toBe('THREE');
    expect(fieldsOf(1)).toMatchObject({ ':status': '200', 'grpc-status': '0' });
    expect(ofType(frameType.headers, 1)).toHaveLength(2);
    expect(call?.destroyed).toBe(true);
  });

  it('may be answered by one, or by an error', async () => {
    const { open, send, calls, dones, bodyOf, fieldsOf } = await openStreams();
    await open(1, 'Many');
    await open(3, 'Many');
    for (const call of calls) call.resume();
    await send(data(1, message('x')));
    dones[0]?.(null, Buffer.from('all'));
    dones[1]?.({ code: 7, details: 'not you' });
    await settled();
    expect(bodyOf(1)).toEqual(message('all'));
    expect(fieldsOf(1)).toMatchObject({ 'grpc-status': '0' });
    expect(fieldsOf(3)).toMatchObject({ ':status': '200', 'grpc-status': '7', 'grpc-message': 'not you' });
  });

  it('is answered to one request', async () => {
    const { open, send, calls, bodyOf, fieldsOf } = await openStreams();
    await open(1, 'Watch');
    expect(calls).toEqual([]);
    await send(data(1, message('which'), true));
    expect(calls[0]?.request?.toString()).toBe('which');
    for (const answer of ['a', 'b']) calls[0]?.write(Buffer.from(answer));
    await settled();
    expect(bodyOf(1)).toEqual(Buffer.concat([message('a'), message('b')]));
    calls[0]?.end();
    await settled();
    expect(fieldsOf(1)).toMatchObject({ 'grpc-status': '0' });
  });

  it('that wants a request and gets none fails', async () => {
    const { open, send, calls, fieldsOf } = await openStreams();
    await open(1, 'Watch');
    await send(data(1, Buffer.alloc(0), true));
    expect(fieldsOf(1)).toMatchObject({ ':status': '200', 'grpc-status': '13' });
    expect(calls).toEqual([]);
  });

  it.each([
    [{ code: 5, details: 'no such thing' }, '5', 'no such thing'],
    [new Error('a bug, with words for nobody'), '2', 'it failed'],
  ])(
    'ends with the status of an error, and with UNKNOWN for one that has none',
    async (fault, code, words) => {
      const { open, calls, fieldsOf, ofType } = await openStreams();
      await open(1, 'Both');
      calls[0]?.write(Buffer.from('first'));
      calls[0]?.emit('error', Object.assign(fault instanceof Error ? fault : new Error('x'), fault));
      await settled();
      expect(fieldsOf(1)).toMatchObject({ 'grpc-status': code, 'grpc-message': words });
      expect(ofType(frameType.data, 1)).toHaveLength(1);
      calls[0]?.write(Buffer.from('too late'), () => undefined);
      await settled();
      expect(ofType(frameType.data, 1)).toHaveLength(1);
    },
  );

  it.each([
    ['a message that is too long', message(Buffer.alloc(1001)), '8'],
    ['a compressed message', message('x', 1), '12'],
    ['the beginning of a message, and ends', message('whole').subarray(0, 8), '13'],
  ])('fails by %s', async (_what, bytes, code) => {
    const { open, send, calls, fieldsOf } = await openStreams();
    await open(1, 'Both');
    const read: string[] = [];
    calls[0]?.on('data', (one: Buffer) => read.push(one.toString()));
    await send(data(1, message('good')), data(1, bytes, true));
    expect(read).toEqual(['good']);
    expect(fieldsOf(1)).toMatchObject({ 'grpc-status': code });
  });

  it('fails by a message that can not be read', async () => {
    const { open, send, fieldsOf } = await openStreams(() => {
      throw new Error('no such message');
    });
    await open(1, 'Both');
    await send(data(1, message('x')));
    expect(fieldsOf(1)).toMatchObject({ 'grpc-status': '13' });
  });

  it.each([
    ['its caller resets it', 'reset'],
    ['the connection is lost', 'lost'],
  ])('says so once when %s', async (_when, how) => {
    const { open, send, calls, client, ofType } = await openStreams();
    await open(1, 'Both');
    let cancelled = 0;
    calls[0]?.on('cancelled', () => {
      cancelled += 1;
    });
    calls[0]?.on('data', () => undefined);
    await send(data(1, message('x')));
    if (how === 'reset') await send(rstStream(1));
    client.destroy();
    await settled();
    expect(cancelled).toBe(1);
    expect(calls[0]?.destroyed).toBe(true);
    expect(ofType(frameType.headers, 1)).toEqual([]);
  });

  it('is not told to go on by a reader that has stopped, and is by one that reads', async () => {
    const { open, send, calls, creditOf, ofType } = await openStreams();
    await open(1, 'Both');
    const [call] = calls;
    const bytes = message(Buffer.alloc(995));
    // Some are read ahead of whoever takes them.
    await send(...Array.from({ length: 40 }, () => data(1, bytes)));
    const ahead = creditOf(1);
    expect(ahead).toBeLessThanOrEqual(17 * bytes.length);
    await send(...Array.from({ length: 20 }, () => data(1, bytes)));
    expect(creditOf(1)).toBe(ahead);
    let read = 0;
    call?.on('data', () => {
      read += 1;
    });
    await settled();
    expect(read).toBe(60);
    expect(creditOf(1)).toBe(60 * bytes.length);
    call?.pause();
    await send(...Array.from({ length: 60 }, () => data(1, bytes)));
    expect(creditOf(1)).toBeLessThanOrEqual((60 + 17) * bytes.length);
    // What it may send is not without end.
    await send(...Array.from({ length: 60 }, () => data(1, bytes)));
    expect(ofType(frameType.rstStream, 1)[0]?.payload.readUInt32BE(0)).toBe(errorCode.flowControl);
  });

  it('that is reset in the same breath has its messages first', async () => {
    const { open, send, calls } = await openStreams();
    await open(1, 'Both');
    const told: string[] = [];
    calls[0]?.on('data', (bytes: Buffer) => told.push(bytes.toString()));
    calls[0]?.on('cancelled', () => told.push('cancelled'));
    await send(data(1, message('one')), data(1, message('two')), rstStream(1));
    await settled();
    expect(told).toEqual(['one', 'two', 'cancelled']);
  });

  it('costs the same in tiny pieces, also in ones without a byte', async () => {
    const { open, send, calls } = await openStreams();
    await open(1, 'Both');
    const read: string[] = [];
    calls[0]?.on('data', (one: Buffer) => read.push(one.toString()));
    const empty = data(1, Buffer.alloc(0));
    const bytes = [...message('tiny'), ...message('pieces')];
    await send(...bytes.flatMap((byte) => [data(1, Buffer.of(byte)), empty, empty]));
    expect(read).toEqual(['tiny', 'pieces']);
    const half = frame({
      type: frameType.data,
      flags: frameFlag.none,
      streamId: 1,
      payload: message('x').subarray(0, 5),
    });
    await send(half);
    const before = await heldBytes();
    const flood = Buffer.concat(Array.from({ length: 10_000 }, () => empty));
    for (let times = 0; times < 30; times += 1) await send(flood);
    // 300,000 records of a piece would be some 25 MB.
    expect((await heldBytes()) - before).toBeLessThan(8_000_000);
    await send(data(1, Buffer.from('x')));
    expect(read).toEqual(['tiny', 'pieces', 'x']);
  });
});

it('refuses a service that has no handler for a method', async () => {
  await expect(openService({ definition })).rejects.toThrow('/test.Service/Both has no handler');
});
