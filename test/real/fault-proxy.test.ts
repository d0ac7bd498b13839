import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';

/** Longer than an echo takes on loopback by far, short enough for a hermetic test. */
const silenceMs = 60;

describe('the fault proxy', () => {
  let echo: Server;
  let proxy: FaultProxy;
  const clients: Socket[] = [];

  beforeEach(async () => {
    echo = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.pipe(socket);
    });
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    proxy = await startFaultProxy((echo.address() as AddressInfo).port);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await proxy.stop();
    echo.close();
  });

  async function open(): Promise<Socket> {
    const client = connect({ host: '127.0.0.1', port: proxy.port });
    client.setNoDelay(true);
    clients.push(client);
    await once(client, 'connect');
    return client;
  }

  async function ask(client: Socket, text: string): Promise<string> {
    client.write(text);
    const [answer] = (await once(client, 'data')) as [Buffer];
    return answer.toString();
  }

  /** The next bytes, or undefined when none came for a while. */
  async function answerWithin(client: Socket, timeoutMs: number): Promise<string | undefined> {
    try {
      const [answer] = (await once(client, 'data', { signal: AbortSignal.timeout(timeoutMs) })) as [Buffer];
      return answer.toString();
    } catch {
      return undefined;
    }
  }

  it('forwards both ways and counts connections', async () => {
    const client = await open();
    expect(await ask(client, 'a')).toBe('a');
    expect(await ask(client, 'b')).toBe('b');
    await open();
    expect(proxy.accepted()).toBe(2);
  });

  it('passes the end of a stream on, after the answer', async () => {
    const client = await open();
    client.end('last words');
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(answer.toString()).toBe('last words');
    await once(client, 'end');
  });

  it('refuses connections and resets the open ones, until it passes again on the same port', async () => {
    const client = await open();
    await ask(client, 'before');
    const reset = once(client, 'error');
    await proxy.refuse();
    expect(await reset).toMatchObject([{ code: 'ECONNRESET' }]);
    await expect(open()).rejects.toThrow('ECONNREFUSED');
    await proxy.pass();
    expect(await ask(await open(), 'again')).toBe('again');
  });

  it('hangs open and new connections, and lets held bytes go when it passes again', async () => {
    const known = await open();
    await ask(known, 'before');
    await proxy.hang();
    const fresh = await open();
    known.write('known');
    fresh.write('fresh');
    expect(await Promise.all([answerWithin(known, silenceMs), answerWithin(fresh, silenceMs)])).toEqual([
      undefined,
      undefined,
    ]);
    const answers = Promise.all([answerWithin(known, 1_000), answerWithin(fresh, 1_000)]);
    await proxy.pass();
    expect(await answers).toEqual(['known', 'fresh']);
  });

  it('delays answers, in their order', async () => {
    const client = await open();
    await proxy.slow(silenceMs);
    const startedAtMs = performance.now();
    client.write('1');
    client.write('2');
    let received = '';
    while (received.length < 2) received += await answerWithin(client, 1_000);
    expect(received).toBe('12');
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(silenceMs - 1);
  });

  it('cuts the connections of the moment and takes new ones', async () => {
    const client = await open();
    await ask(client, 'before');
    const reset = once(client, 'error');
    proxy.cut();
    expect(await reset).toMatchObject([{ code: 'ECONNRESET' }]);
    expect(await ask(await open(), 'new')).toBe('new');
  });

  it('resets connections while its target does not listen', async () => {
    echo.close();
    await once(echo, 'close');
    const client = await open();
    expect(await once(client, 'error')).toMatchObject([{ code: 'ECONNRESET' }]);
  });
});
