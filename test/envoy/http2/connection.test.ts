import { describe, expect, it } from 'vitest';
import {
  clientPreface,
  data,
  errorCode,
  frame,
  frameFlag,
  frameType,
  goAway,
  hello,
  literalBlock,
  ping,
  readLiteralBlock,
  request,
  rstStream,
  setting,
  settings,
  word,
} from './frames.ts';
import { type Begun, codesOf, openConnection, settled } from './open-connection.ts';

const echo = (begun: Begun) => begun.answer(`${begun.head.path} ${begun.body().toString()}`);
const pathed = (id: number, path: string, isEnd = true) => request(id, { fields: [[':path', path]], isEnd });

describe('a connection', () => {
  it('says its limits first, and acknowledges SETTINGS', async () => {
    const { seen } = await openConnection({ limits: { streamWindowBytes: 70_000, maxConcurrentStreams: 7 } });
    expect(seen[0]?.type).toBe(frameType.settings);
    const entries = seen[0]?.payload ?? Buffer.alloc(0);
    const said = new Map(
      [0, 6, 12].map((at) => [entries.readUInt16BE(at), entries.readUInt32BE(at + 2)] as const),
    );
    expect(said).toEqual(
      new Map([
        [setting.maxConcurrentStreams, 7],
        [setting.initialWindowSize, 70_000],
        [setting.maxHeaderListSize, 16_384],
      ]),
    );
    expect(seen.at(-1)).toMatchObject({ type: frameType.settings, flags: frameFlag.ack });
  });

  const conversation = Buffer.concat([
    hello([[setting.maxConcurrentStreams, 100]]),
    pathed(1, '/one'),
    ping('anyone??'),
    pathed(3, '/two', false),
    data(3, Buffer.from('bo')),
    data(3, Buffer.from('dy'), true),
  ]);

  it.each([1, 2, 7, 10_000])('reads its bytes in pieces of %d', async (bytes) => {
    const opened = await openConnection({ saysHello: false, onRequest: echo });
    for (let at = 0; at < conversation.length; at += bytes) {
      opened.client.write(conversation.subarray(at, at + bytes));
      if (bytes < 7) await new Promise(setImmediate);
    }
    await settled();
    expect([1, 3].map((id) => opened.bodyOf(id).toString())).toEqual(['/one ', '/two body']);
    expect(opened.ofType(frameType.headers, 3).map(({ payload }) => readLiteralBlock(payload))).toEqual([
      [[':status', '200']],
      [['x-end', 'yes']],
    ]);
    expect(opened.ofType(frameType.ping)).toMatchObject([{ flags: frameFlag.ack }]);
    expect(opened.connection.bytesRead()).toBe(conversation.length);
  });

  it('writes the answers to what came in one piece in one piece', async () => {
    const opened = await openConnection({ onRequest: echo });
    const pieces: number[] = [];
    opened.client.on('data', (piece: Buffer) => pieces.push(piece.length));
    await opened.send(...[1, 3, 5].map((id) => pathed(id, '/x')));
    expect(opened.ofType(frameType.data)).toHaveLength(3);
    expect(pieces).toHaveLength(1);
  });

  it.each([
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a preface that goes wrong in its middle', Buffer.from('PRI * HTTP/2.0\r\nX')],
    ['another frame than SETTINGS', Buffer.concat([clientPreface, ping('too soon')])],
    ['an acknowledgement', Buffer.concat([clientPreface, frame({ type: frameType.settings, flags: 1 })])],
  ])('that begins with %s is refused', async (_what, bytes) => {
    const opened = await openConnection({ saysHello: false });
    await opened.send(bytes);
    expect(codesOf(opened)).toEqual([errorCode.protocol]);
    expect(opened.hasEnded()).toBe(true);
  });

  it('waits for the rest of a preface', async () => {
    const opened = await openConnection({ saysHello: false, onRequest: echo });
    await opened.send(clientPreface.subarray(0, 11));
    expect(codesOf(opened)).toEqual([]);
    await opened.send(clientPreface.subarray(11), settings(), pathed(1, '/late'));
    expect(opened.bodyOf(1).toString()).toBe('/late ');
  });

  it('passes over frames, settings and flags that it does not know', async () => {
    const opened = await openConnection({ onRequest: echo });
    const strange = { flags: 0xff, streamId: 77, payload: Buffer.from('?') };
    await opened.send(
      frame({ type: 0x10, ...strange }),
      settings([[0xff_00, 7]]),
      pathed(1, '/one', false),
      frame({ type: 0xff, ...strange }),
      frame({ type: frameType.data, streamId: 1, flags: 0xf7, payload: Buffer.from('text') }),
    );
    expect(opened.bodyOf(1).toString()).toBe('/one text');
    expect(codesOf(opened)).toEqual([]);
  });

  it('that is lost cancels every stream that is open, once', async () => {
    const opened = await openConnection();
    await opened.send(request(1), request(3, { isEnd: false }), request(5));
    opened.begun[0]?.answer();
    opened.client.destroy();
    await settled();
    expect(opened.begun.map(({ cancelled }) => cancelled)).toEqual([0, 1, 1]);
    // Nobody is there for it, and nothing breaks.
    opened.begun[1]?.answer('too late');
    opened.connection.ping();
    opened.connection.drain();
    await settled();
    expect(opened.begun.map(({ cancelled }) => cancelled)).toEqual([0, 1, 1]);
  });

  it('cancels every stream once where its peer breaks the rules', async () => {
    const opened = await openConnection();
    await opened.send(request(1), request(3), data(0, Buffer.from('x')));
    expect(codesOf(opened)).toEqual([errorCode.protocol]);
    opened.client.destroy();
    await settled();
    expect(opened.begun.map(({ cancelled }) => cancelled)).toEqual([1, 1]);
  });

  it('that its peer leaves answers what it has, and ends', async () => {
    const opened = await openConnection();
    await opened.send(request(1), goAway(), request(3));
    expect(opened.hasEnded()).toBe(false);
    expect(codesOf(opened, 3)).toEqual([errorCode.refusedStream]);
    opened.begun[0]?.answer('bye');
    await settled();
    expect(opened.bodyOf(1).toString()).toBe('bye');
    expect(opened.hasEnded()).toBe(true);
  });
});

describe('a request', () => {
  it('may be padded, have a priority, and go on in CONTINUATION', async () => {
    const opened = await openConnection({ onRequest: echo });
    const block = literalBlock([
      [':method', 'PUT'],
      [':scheme', 'http'],
      [':path', '/parts'],
      ['x-long', 'y'.repeat(300)],
    ]);
    const padding = Buffer.alloc(9);
    await opened.send(
      frame({
        type: frameType.headers,
        flags: frameFlag.padded | frameFlag.priority,
        streamId: 1,
        payload: Buffer.concat([
          Buffer.of(padding.length),
          word(0),
          Buffer.of(16),
          block.subarray(0, 7),
          padding,
        ]),
      }),
      frame({ type: frameType.continuation, streamId: 1, payload: block.subarray(7, 100) }),
      frame({ type: frameType.continuation, streamId: 1 }),
      frame({
        type: frameType.continuation,
        flags: frameFlag.endHeaders,
        streamId: 1,
        payload: block.subarray(100),
      }),
      frame({
        type: frameType.data,
        flags: frameFlag.padded | frameFlag.endStream,
        streamId: 1,
        payload: Buffer.concat([Buffer.of(padding.length), Buffer.from('text'), padding]),
      }),
    );
    expect(opened.begun[0]).toMatchObject({ head: { method: 'PUT', path: '/parts' }, isReceived: true });
    expect(opened.begun[0]?.fields).toContain(`x-long: ${'y'.repeat(300)}`);
    expect(opened.bodyOf(1).toString()).toBe('/parts text');
  });

  it.each([
    ['DATA with more padding than frame', 0, Buffer.of(2, 0)],
    ['DATA without the length of its padding', 0, Buffer.alloc(0)],
    ['HEADERS with more padding than frame', 1, Buffer.of(200, 0x82)],
  ])('with %s ends the connection', async (_what, type, payload) => {
    const opened = await openConnection();
    const flags = frameFlag.padded | frameFlag.endHeaders;
    await opened.send(request(1, { isEnd: false }), frame({ type, flags, streamId: 2 * type + 1, payload }));
    expect(codesOf(opened)).toEqual([errorCode.protocol]);
  });

  it('may end with trailers', async () => {
    const opened = await openConnection({ onRequest: echo });
    const trailers = { type: frameType.headers, flags: 5, payload: literalBlock([['x-trailer', '1']]) };
    await opened.send(pathed(1, '/t', false), data(1, Buffer.from('x')), frame({ ...trailers, streamId: 1 }));
    expect(opened.bodyOf(1).toString()).toBe('/t x');
  });

  it.each([
    ['a pseudo-header field', literalBlock([[':path', '/']]), 5],
    ['a field of connections', literalBlock([['connection', 'close']]), 5],
    ['no end', literalBlock([['x-trailer', '1']]), 4],
  ])('with trailers that have %s is reset', async (_what, payload, flags) => {
    const opened = await openConnection();
    await opened.send(request(1, { isEnd: false }), frame({ type: 1, flags, streamId: 1, payload }));
    expect(codesOf(opened, 1)).toEqual([errorCode.protocol]);
    expect(opened.begun[0]).toMatchObject({ isReceived: false, cancelled: 1 });
  });

  it.each([
    ['body and trailers', [data(1, Buffer.from('more')), request(1)]],
    ['a reset', [data(1, Buffer.from('more')), rstStream(1)]],
  ])('that was answered before its end may still send %s', async (_what, rest) => {
    const opened = await openConnection({ onRequest: echo });
    await opened.send(request(1, { isEnd: false }));
    opened.begun[0]?.answer('early');
    await opened.send();
    expect(codesOf(opened, 1)).toEqual([errorCode.none]);
    await opened.send(...rest, pathed(3, '/next'));
    expect(codesOf(opened)).toEqual([]);
    expect(codesOf(opened, 1)).toEqual([errorCode.none]);
    expect(opened.bodyOf(3).toString()).toBe('/next ');
  });

  it.each([
    ['no path', [[':path', '']]],
    ['a field in capitals', [['X-Caps', '1']]],
    ['a field of connections', [['transfer-encoding', 'chunked']]],
    ['a pseudo-header field of answers', [[':status', '200']]],
    ['a line break in a value', [['x', 'a\r\nb']]],
    ['a blank before a value', [['x', ' a']]],
    ['a tab behind a value', [['x', 'a\t']]],
    ['te other than trailers', [['te', 'gzip']]],
    ['a length that is no number', [['content-length', '1e3']]],
    ['a length that is not kept', [['content-length', '3']]],
  ] as const)('with %s is malformed', async (_what, fields) => {
    const opened = await openConnection({ onRequest: echo });
    await opened.send(request(1, { fields }), pathed(3, '/fine'));
    expect(codesOf(opened, 1)).toEqual([errorCode.protocol]);
    expect(opened.bodyOf(3).toString()).toBe('/fine ');
  });

  it.each([
    ['longer', 'four', 'more than four'],
    ['shorter', 'four', 'f'],
  ])('whose body is %s than it said is reset', async (_how, said, sent) => {
    const opened = await openConnection();
    const fields = [['content-length', String(said.length)]] as const;
    await opened.send(request(1, { fields, isEnd: false }), data(1, Buffer.from(sent), true));
    expect(codesOf(opened, 1)).toEqual([errorCode.protocol]);
    expect(opened.begun[0]).toMatchObject({ isReceived: false, cancelled: 1 });
  });
});

describe('draining', () => {
  it('takes what is on its way, refuses what comes later, and ends with the last', async () => {
    const opened = await openConnection();
    await opened.send(request(1));
    opened.connection.drain();
    await settled();
    const [first] = opened.ofType(frameType.goAway);
    expect(first?.payload.readUInt32BE(0)).toBe(2 ** 31 - 1);
    const [asked] = opened.ofType(frameType.ping);
    expect(asked).toMatchObject({ flags: 0 });
    // Sent before it was heard.
    await opened.send(request(3));
    expect(opened.begun).toHaveLength(2);
    await opened.send(ping(asked?.payload.toString() ?? '', frameFlag.ack), request(5));
    const [, second] = opened.ofType(frameType.goAway);
    expect(second?.payload.readUInt32BE(0)).toBe(3);
    expect(codesOf(opened, 5)).toEqual([errorCode.refusedStream]);
    opened.connection.drain();
    opened.begun[1]?.answer('second');
    await settled();
    expect(opened.hasEnded()).toBe(false);
    opened.begun[0]?.answer('first');
    await settled();
    expect([1, 3].map((id) => opened.bodyOf(id).toString())).toEqual(['first', 'second']);
    expect(opened.hasEnded()).toBe(true);
    // Told once: an id that grows again would be a fault of ours.
    expect(codesOf(opened)).toEqual([errorCode.none, errorCode.none]);
  });

  it('waits for a call that was cancelled until its work has ended', async () => {
    const opened = await openConnection();
    await opened.send(request(1), rstStream(1), goAway());
    expect(opened.hasEnded()).toBe(false);
    opened.begun[0]?.answer();
    await settled();
    expect(opened.hasEnded()).toBe(true);
    expect(opened.ofType(frameType.headers)).toEqual([]);
  });

  it('ends a connection at once that has not begun, or has no stream', async () => {
    const silent = await openConnection({ saysHello: false });
    silent.connection.drain();
    await settled();
    expect(silent.hasEnded()).toBe(true);
    const idle = await openConnection();
    idle.connection.drain();
    await settled();
    expect(idle.hasEnded()).toBe(false);
    await idle.send(ping(idle.ofType(frameType.ping)[0]?.payload.toString() ?? '', frameFlag.ack));
    expect(idle.hasEnded()).toBe(true);
  });
});
