import { describe, expect, it } from 'vitest';
import {
  data,
  errorCode,
  frame,
  frameFlag,
  frameType,
  request,
  rstStream,
  setting,
  settings,
  windowUpdate,
} from './frames.ts';
import { codesOf, openConnection, type OpenConnection } from './open-connection.ts';

const letters = (bytes: number) => Buffer.from(Array.from({ length: bytes }, (_none, at) => 97 + (at % 26)));
const isEnded = ({ ofType }: OpenConnection, streamId: number) =>
  ofType(frameType.headers, streamId).some(({ flags }) => (flags & frameFlag.endStream) !== 0);
/** What the peer was told it may send more. */
const creditOf = ({ ofType }: OpenConnection, streamId: number) =>
  ofType(frameType.windowUpdate, streamId).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);

describe('an answer', () => {
  it('waits for a window, and leaves bit by bit as it opens; its headers do not wait', async () => {
    const opened = await openConnection({ settings: [[setting.initialWindowSize, 0]] });
    const text = letters(10);
    await opened.send(request(1));
    opened.begun[0]?.answer(text);
    await opened.send();
    expect(opened.ofType(frameType.headers, 1)).toHaveLength(1);
    expect(opened.bodyOf(1)).toHaveLength(0);
    for (let sent = 1; sent <= text.length; sent += 1) {
      expect(isEnded(opened, 1)).toBe(false);
      await opened.send(windowUpdate(1, 1));
      expect(opened.bodyOf(1)).toEqual(text.subarray(0, sent));
    }
    expect(isEnded(opened, 1)).toBe(true);
  });

  it('waits for the window of the connection, which all streams share', async () => {
    const opened = await openConnection({ settings: [[setting.initialWindowSize, 1_000_000]] });
    const text = letters(50_000);
    await opened.send(request(1), request(3));
    for (const { answer } of opened.begun) answer(text);
    await opened.send();
    expect(isEnded(opened, 1)).toBe(true);
    expect(opened.bodyOf(3)).toHaveLength(65_535 - 50_000);
    await opened.send(windowUpdate(0, 20_000));
    expect(opened.bodyOf(3)).toHaveLength(35_535);
    await opened.send(windowUpdate(0, 20_000));
    expect(opened.bodyOf(3).equals(text)).toBe(true);
    expect(isEnded(opened, 3)).toBe(true);
  });

  it('that is stalled does not hold up another, also one that comes later', async () => {
    const opened = await openConnection({ settings: [[setting.initialWindowSize, 5]] });
    await opened.send(request(1), request(3));
    opened.begun[0]?.answer('more than five');
    opened.begun[1]?.answer('five!');
    await opened.send(request(5));
    opened.begun[2]?.answer('short');
    await opened.send();
    expect([1, 3, 5].map((id) => isEnded(opened, id))).toEqual([false, true, true]);
    await opened.send(windowUpdate(1, 100));
    expect(opened.bodyOf(1).toString()).toBe('more than five');
    expect(isEnded(opened, 1)).toBe(true);
  });

  it('keeps its parts in order', async () => {
    const opened = await openConnection({ settings: [[setting.initialWindowSize, 3]] });
    await opened.send(request(1));
    const { connection, begun } = opened;
    const stream = begun[0]?.stream ?? { id: 0 };
    for (const part of ['one ', 'two ', 'three']) connection.sendData(stream, Buffer.from(part));
    connection.end(stream, Buffer.alloc(0));
    for (const more of [2, 4, 1, 100]) await opened.send(windowUpdate(1, more));
    expect(opened.bodyOf(1).toString()).toBe('one two three');
    expect(opened.ofType(frameType.headers, 1)).toHaveLength(1);
  });

  it('heeds a window that SETTINGS change in its middle, also to below nothing', async () => {
    const opened = await openConnection({ settings: [[setting.initialWindowSize, 6]] });
    await opened.send(request(1));
    opened.begun[0]?.answer('abcdefghijkl');
    await opened.send();
    expect(opened.bodyOf(1).toString()).toBe('abcdef');
    // 6 sent of 2: four less than nothing.
    await opened.send(settings([[setting.initialWindowSize, 2]]));
    await opened.send(windowUpdate(1, 4));
    expect(opened.bodyOf(1).toString()).toBe('abcdef');
    await opened.send(windowUpdate(1, 1));
    expect(opened.bodyOf(1).toString()).toBe('abcdefg');
    await opened.send(settings([[setting.initialWindowSize, 4]]));
    expect(opened.bodyOf(1).toString()).toBe('abcdefghi');
    await opened.send(settings([[setting.initialWindowSize, 65_535]]));
    expect(opened.bodyOf(1).toString()).toBe('abcdefghijkl');
    expect(isEnded(opened, 1)).toBe(true);
  });

  it('heeds the last of several windows in one SETTINGS', async () => {
    const opened = await openConnection({ settings: [[setting.initialWindowSize, 0]] });
    await opened.send(request(1));
    opened.begun[0]?.answer('abcdef');
    await opened.send(
      settings([
        [setting.initialWindowSize, 100],
        [setting.initialWindowSize, 3],
      ]),
    );
    expect(opened.bodyOf(1).toString()).toBe('abc');
  });

  it('goes in frames that every peer takes', async () => {
    const opened = await openConnection({ settings: [[setting.maxFrameSize, 1_000_000]] });
    await opened.send(request(1));
    opened.begun[0]?.answer(letters(40_000));
    await opened.send();
    expect(opened.ofType(frameType.data, 1).map(({ payload }) => payload.length)).toEqual([
      16_384, 16_384, 7232,
    ]);
  });

  it('that was reset while it waited is forgotten, and the others go on', async () => {
    const opened = await openConnection({ settings: [[setting.initialWindowSize, 0]] });
    await opened.send(request(1), request(3));
    for (const { answer } of opened.begun) answer('text');
    await opened.send(rstStream(1), windowUpdate(1, 100), windowUpdate(3, 100));
    expect(opened.bodyOf(1)).toHaveLength(0);
    expect(opened.bodyOf(3).toString()).toBe('text');
  });
});

describe('the window of a peer', () => {
  it.each([
    ['grows too large by an update of the connection', windowUpdate(0, 2 ** 31 - 1), undefined],
    ['is set too large', settings([[setting.initialWindowSize, 2 ** 31]]), undefined],
    ['grows too large by an update of a stream', windowUpdate(1, 2 ** 31 - 1), 1],
  ])('that %s is a flow control error', async (_how, bytes, streamId) => {
    const opened = await openConnection();
    await opened.send(request(1), bytes);
    expect(codesOf(opened, streamId)).toEqual([errorCode.flowControl]);
    expect(opened.begun[0]?.cancelled).toBe(1);
  });

  it('that grows too large by SETTINGS, for a stream that is open, is one too', async () => {
    const opened = await openConnection();
    await opened.send(request(1), windowUpdate(1, 2 ** 31 - 1 - 65_535));
    expect(codesOf(opened)).toEqual([]);
    await opened.send(settings([[setting.initialWindowSize, 65_536]]));
    expect(codesOf(opened)).toEqual([errorCode.flowControl]);
  });
});

describe('a body', () => {
  const piece = letters(16_000);

  it('longer than the window of its stream resets it, and it alone', async () => {
    const opened = await openConnection();
    await opened.send(request(1, { isEnd: false }), request(3, { isEnd: false }));
    for (let at = 0; at < 5; at += 1) await opened.send(data(1, piece));
    expect(codesOf(opened, 1)).toEqual([errorCode.flowControl]);
    expect(opened.begun[0]).toMatchObject({ isReceived: false, cancelled: 1 });
    await opened.send(data(3, Buffer.from('hello'), true));
    expect(opened.begun[1]).toMatchObject({ isReceived: true, cancelled: 0 });
  });

  it('may go on as far as it was consumed', async () => {
    const opened = await openConnection();
    await opened.send(request(1, { isEnd: false }));
    const [begun] = opened.begun;
    for (let at = 0; at < 20; at += 1) {
      await opened.send(data(1, piece));
      if (begun !== undefined) opened.connection.consumed(begun.stream, piece.length);
      await opened.send();
    }
    expect(creditOf(opened, 1)).toBe(20 * piece.length);
    expect(begun?.body()).toHaveLength(20 * piece.length);
    expect(codesOf(opened, 1)).toEqual([]);
  });

  it('has its padding given back at once, which nobody consumes', async () => {
    const opened = await openConnection();
    await opened.send(request(1, { isEnd: false }));
    const payload = Buffer.concat([Buffer.of(255), Buffer.from('x'), Buffer.alloc(255)]);
    // Of 257 bytes each: more than the window of the stream.
    for (let at = 0; at < 400; at += 1) {
      opened.client.write(frame({ type: frameType.data, flags: frameFlag.padded, streamId: 1, payload }));
    }
    await opened.send();
    expect(codesOf(opened, 1)).toEqual([]);
    expect(creditOf(opened, 1)).toBe(400 * 256);
    expect(opened.begun[0]?.body()).toHaveLength(400);
  });

  it('gives the window of the connection back once it is complete, reset or left', async () => {
    const opened = await openConnection({
      limits: { streamWindowBytes: 1_000_000, maxConcurrentStreams: 4 },
    });
    const before = creditOf(opened, 0);
    const long = Buffer.concat(Array.from({ length: 40 }, () => data(1, piece)));
    for (let id = 1; id < 80; id += 2) {
      for (let at = 5; at < long.length; at += 9 + piece.length) long.writeUInt32BE(id, at);
      const end = [data(id, Buffer.alloc(0), true), rstStream(id), Buffer.alloc(0)][(id >> 1) % 3] as Buffer;
      await opened.send(request(id, { isEnd: false }), long, end);
      opened.begun.at(-1)?.answer();
    }
    const sent = 40 * 40 * piece.length;
    expect(opened.begun).toHaveLength(40);
    // In large steps: less than one of them is missing.
    expect(creditOf(opened, 0) - before).toBeGreaterThan(sent - 8 * 1024 * 1024 - 1);
  });

  it('that would have others wait for ever, in a window that is spent, is reset', async () => {
    const opened = await openConnection({ limits: { streamWindowBytes: 10_000_000 } });
    const ids = Array.from({ length: 10 }, (_none, at) => 2 * at + 1);
    await opened.send(...ids.map((id) => request(id, { isEnd: false })));
    // Ten bodies of 6 MB in turn, none of which is complete before another has begun.
    for (let turn = 0; turn < 380; turn += 1) {
      opened.client.write(Buffer.concat(ids.map((id) => data(id, piece))));
      if (turn % 50 === 0) await opened.send();
    }
    await opened.send(...ids.map((id) => data(id, Buffer.alloc(0), true)));
    const whole = opened.begun.filter(({ isReceived }) => isReceived);
    expect(whole.length).toBeGreaterThan(3);
    expect(whole.length).toBeLessThan(10);
    expect(codesOf(opened)).toEqual([]);
    for (const { cancelled, isReceived, stream } of opened.begun) {
      expect(cancelled).toBe(isReceived ? 0 : 1);
      expect(codesOf(opened, stream.id)).toEqual(isReceived ? [] : [errorCode.enhanceYourCalm]);
    }
  });
});
