import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  errorCode,
  frame,
  frameType,
  hello,
  literalBlock,
  ping,
  request,
  rstStream,
  setting,
  settings,
} from './frames.ts';
import { type Begun, codesOf, openConnection, settled } from './open-connection.ts';

const part = (payload: Buffer) => frame({ type: frameType.continuation, streamId: 1, payload });

describe('a header block without end', () => {
  const begin = frame({ type: frameType.headers, streamId: 1, payload: literalBlock([[':method', 'GET']]) });

  it.each([
    ['of many bytes', Array.from({ length: 5 }, () => part(Buffer.alloc(16_000)))],
    ['of empty frames', Array.from({ length: 1000 }, () => part(Buffer.alloc(0)))],
  ])('%s ends the connection', async (_what, parts) => {
    const opened = await openConnection();
    await opened.send(begin, ...parts);
    expect(codesOf(opened)).toEqual([errorCode.enhanceYourCalm]);
    expect(opened.hasEnded()).toBe(true);
    expect(opened.begun).toEqual([]);
  });

  it('is another thing than a list that is too long: of that one a request is told, without the field', async () => {
    const opened = await openConnection({ limits: { maxHeaderListBytes: 150 } });
    await opened.send(request(1, { fields: [['x-long', 'y'.repeat(10_000)]] }));
    expect(codesOf(opened)).toEqual([]);
    expect(opened.begun[0]?.fields).toHaveLength(3);
  });
});

describe('requests that are reset at once', () => {
  it('count until their work has ended, are refused beyond the limit, and leave nothing behind', async () => {
    const opened = await openConnection({ limits: { maxConcurrentStreams: 50 } });
    let id = 1;
    for (; id < 10_000; id += 2) opened.client.write(Buffer.concat([request(id), rstStream(id)]));
    await settled();
    expect(opened.begun).toHaveLength(50);
    expect(opened.begun.every(({ cancelled }) => cancelled === 1)).toBe(true);
    expect(codesOf(opened, 9999)).toEqual([errorCode.refusedStream]);
    for (const { answer } of opened.begun) answer('nobody is there');
    await opened.send(request(id));
    expect(opened.begun).toHaveLength(51);
    opened.begun[50]?.answer('here');
    await settled();
    expect(opened.bodyOf(id).toString()).toBe('here');
    expect(opened.ofType(frameType.data)).toHaveLength(1);
  });

  it('may be as many as one likes where they are answered', async () => {
    let answered = 0;
    const onRequest = (begun: Begun) => {
      answered += 1;
      begun.answer('x');
    };
    const opened = await openConnection({ limits: { maxConcurrentStreams: 10 }, onRequest });
    for (let id = 1; id < 2000; id += 2) opened.client.write(Buffer.concat([request(id), rstStream(id)]));
    await settled();
    expect(answered).toBe(1000);
    expect(codesOf(opened)).toEqual([]);
  });
});

describe('a peer that takes no answers', () => {
  it('has as many streams as it may, also where our work for them is done', async () => {
    const opened = await openConnection({
      limits: { maxConcurrentStreams: 20 },
      settings: [[setting.initialWindowSize, 0]],
      onRequest: ({ answer }) => answer('waits'),
    });
    await opened.send(...Array.from({ length: 1000 }, (_none, at) => request(2 * at + 1)));
    expect(opened.begun).toHaveLength(20);
    expect(codesOf(opened, 2 * 20 + 1)).toEqual([errorCode.refusedStream]);
    expect(codesOf(opened)).toEqual([]);
  });

  it('loses its connection when we would hold too much of them', async () => {
    const opened = await openConnection({ settings: [[setting.initialWindowSize, 0]] });
    await opened.send(request(1, { isEnd: false }));
    const stream = opened.begun[0]?.stream ?? { id: 0 };
    const answer = Buffer.alloc(100);
    let sent = 0;
    while (!opened.hasEnded() && sent < 1_000_000) {
      for (let at = 0; at < 10_000; at += 1) opened.connection.sendData(stream, answer);
      sent += 10_000;
      await nextTurn();
    }
    await settled();
    expect(opened.hasEnded()).toBe(true);
    // 32 MiB, at 256 bytes more for each.
    expect(sent).toBeLessThan(150_000);
    expect(opened.begun[0]?.cancelled).toBe(1);
  });

  it.each([
    ['pings', ping('a ping??')],
    ['settings', settings([[setting.maxFrameSize, 20_000]])],
    ['requests that can not be', request(1, { fields: [['Bad', '']] })],
  ])('and reads nothing, loses it by %s, before much is kept', async (_what, bytes) => {
    const opened = await openConnection({ saysHello: false });
    opened.client.pause();
    opened.client.write(hello());
    await settled();
    const before = process.memoryUsage();
    let sent = 0;
    let most = 0;
    while (!opened.hasEnded() && sent < 100_000) {
      for (let at = 0; at < 500; at += 1) {
        if (bytes[3] === frameType.headers) bytes.writeUInt32BE(2 * sent + 1, 5);
        // Each is read, and answered, alone.
        opened.client.write(Buffer.from(bytes));
        sent += 1;
      }
      await nextTurn();
      const { arrayBuffers, external } = process.memoryUsage();
      most = Math.max(most, arrayBuffers - before.arrayBuffers, external - before.external);
    }
    expect(opened.hasEnded()).toBe(true);
    expect(sent).toBeLessThan(40_000);
    expect(most).toBeLessThan(64 * 1024 * 1024);
  });
});
