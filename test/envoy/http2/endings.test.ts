import { connect, constants } from 'node:http2';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createConnection } from '../../../src/envoy/http2/connection.ts';
import { data, errorCode, frame, frameType, goAway, request, rethrow } from './frames.ts';
import { codesOf, openConnection, settled } from './open-connection.ts';

const ended: (() => unknown)[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const end of ended.splice(0).toReversed()) end();
});

/** The last stream ids that were told by GOAWAY. */
const toldIds = (opened: Awaited<ReturnType<typeof openConnection>>) =>
  opened.ofType(frameType.goAway).map(({ payload }) => payload.readUInt32BE(0));

describe('GOAWAY', () => {
  it('never tells a higher id than the one before', async () => {
    const opened = await openConnection();
    await opened.send(request(1), goAway());
    opened.connection.drain();
    await opened.send(request(3), data(0, Buffer.from('against the rules')));
    expect(toldIds(opened)).toEqual([1, 1]);
  });

  it('comes a second time also where nobody answers the PING', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const opened = await openConnection();
    await opened.send(request(1));
    opened.connection.drain();
    opened.begun[0]?.answer('in time');
    await settled();
    expect(toldIds(opened)).toEqual([2 ** 31 - 1]);
    vi.advanceTimersByTime(5000);
    await settled();
    expect(toldIds(opened)).toEqual([2 ** 31 - 1, 1]);
    expect(opened.hasEnded()).toBe(true);
  });
});

describe('a bug in a handler', () => {
  it('resets its stream, is told, and costs nobody else anything', async () => {
    const opened = await openConnection({
      onRequest(begun) {
        if (begun.head.path === '/bad') throw new Error('a bug');
        begun.answer('good');
      },
    });
    await opened.send(request(1, { fields: [[':path', '/bad']] }), request(3));
    expect(codesOf(opened, 1)).toEqual([errorCode.internal]);
    expect(opened.bodyOf(3).toString()).toBe('good');
    expect(opened.bugs).toEqual([new Error('a bug')]);
    expect(opened.begun[0]?.cancelled).toBe(1);
  });
});

describe('a peer', () => {
  it('that sends half a PRIORITY on a stream that is not there is wrong about the connection', async () => {
    const opened = await openConnection();
    await opened.send(frame({ type: frameType.priority, streamId: 9, payload: Buffer.alloc(4) }));
    expect(codesOf(opened)).toEqual([errorCode.frameSize]);
  });

  it.each([0, 1024, 4096])(
    'with a header table of %d bytes understands every answer',
    async (headerTableSize) => {
      const server = createTcpServer((socket) => {
        const connection = createConnection(socket, {
          beginStream: (stream) => ({
            receive(_bytes, isEnd) {
              if (!isEnd) return;
              connection.sendHeaders(stream, Buffer.from([0x88]));
              connection.sendData(stream, Buffer.from('understood'));
              connection.end(
                stream,
                Buffer.concat([Buffer.of(0, 1), Buffer.from('x'), Buffer.of(1), Buffer.from('y')]),
              );
            },
            cancelled: () => undefined,
          }),
          limits: { streamWindowBytes: 65_535, maxConcurrentStreams: 100, maxHeaderListBytes: 16_384 },
          onError: rethrow,
        });
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const client = connect(`http://127.0.0.1:${port}`, { settings: { headerTableSize } });
      ended.push(
        () => server.close(),
        () => client.destroy(),
      );
      for (let times = 0; times < 3; times += 1) {
        const call = client.request({ ':method': 'POST', ':path': '/' });
        let body = '';
        call.setEncoding('utf8').on('data', (text: string) => (body += text));
        const trailers = once(call, 'trailers');
        call.end();
        expect((await trailers)[0]).toMatchObject({ x: 'y' });
        await once(call, 'close');
        expect([body, call.rstCode]).toEqual(['understood', constants.NGHTTP2_NO_ERROR]);
      }
    },
  );
});
