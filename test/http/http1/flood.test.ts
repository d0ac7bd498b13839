import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { heldBytes } from '../../support/held-bytes.ts';
import { get, openConnection, post, settled, times } from './open-connection.ts';

/** As much as the server's side reads at once. */
const readBytes = 64 * 1024;

async function sendAll(opened: ReturnType<typeof openConnection>, text: string): Promise<void> {
  for (let at = 0; at < text.length; at += readBytes) opened.client.write(text.slice(at, at + readBytes));
  await settled();
}

describe('pipelined requests', () => {
  it('are all answered, in order', async () => {
    const opened = openConnection();
    const targets = Array.from({ length: 10_000 }, (_, at) => `/${at}`);
    await sendAll(opened, targets.map((target) => get(target)).join(''));
    for (let turns = 0; turns < 200 && opened.asked.length < 10_000; turns += 1) await nextTurn();
    await settled();
    expect(opened.answers()).toEqual(targets);
  });

  it('are read only as far as they can be served, and all in the end', async () => {
    const opened = openConnection({ onRequest: () => undefined });
    await sendAll(opened, get('/a').repeat(10_000));
    const waiting = opened.asked.length;
    expect(waiting).toBeGreaterThan(30);
    expect(waiting).toBeLessThan(200);
    for (let at = 0; at < 10_000; at += 1) {
      opened.asked[at]?.answer();
      if (at % 50 === 0) await settled();
    }
    await settled();
    expect(opened.asked).toHaveLength(10_000);
    expect(opened.answers()).toHaveLength(10_000);
  });
});

it('large bodies that wait for answers hold up more of them', async () => {
  const opened = openConnection({ onRequest: () => undefined });
  await sendAll(opened, post('/a', 'Content-Length: 90000\r\n', 'x'.repeat(90_000)).repeat(20));
  expect(opened.asked).toHaveLength(3);
  for (let at = 0; at < 20; at += 1) {
    opened.asked[at]?.answer();
    await settled();
  }
  expect(opened.asked).toHaveLength(20);
});

describe('who does not read its answers', () => {
  const answer = 'x'.repeat(1000);

  it.each([4, 16, 64, 256])('is not read from either, until it does, with a mark of %i KiB', async (kib) => {
    const opened = openConnection({
      onRequest: (asked) => asked.answer(answer),
      writableHighWaterMark: kib * 1024,
    });
    opened.client.pause();
    await sendAll(opened, get('/a').repeat(5000));
    const served = opened.asked.length;
    expect(served).toBeLessThan(200 + kib * 2);
    await opened.pass(times.unread - 1);
    opened.client.resume();
    for (let turns = 0; turns < 2000 && opened.asked.length < 5000; turns += 1) await nextTurn();
    await settled();
    expect(opened.answers()).toHaveLength(5000);
  });

  it('is cut off in the end', async () => {
    const opened = openConnection({ onRequest: (asked) => asked.answer(answer) });
    opened.client.pause();
    await sendAll(opened, get('/a').repeat(5000));
    await opened.pass(times.unread + 2);
    expect(opened.client.destroyed).toBe(true);
  });
});

describe('what is kept', () => {
  async function heldBy(opened: ReturnType<typeof openConnection>, bytes: string): Promise<number> {
    const before = await heldBytes();
    for (const byte of bytes) opened.client.write(byte);
    await settled();
    return (await heldBytes()) - before;
  }

  it('of a head in single bytes is no more than its bytes, doubled', async () => {
    const opened = openConnection();
    expect(await heldBy(opened, get('/a', `x: ${'y'.repeat(20_000)}`).slice(0, -2))).toBeLessThan(400_000);
    await opened.send('\r\n\r\n');
    expect(opened.answers()).toEqual(['/a']);
  });

  it('of a body in single bytes is no more than its bytes, doubled', async () => {
    const opened = openConnection();
    await opened.send(post('/a', 'Content-Length: 20001\r\n', ''));
    expect(await heldBy(opened, 'x'.repeat(20_000))).toBeLessThan(400_000);
    await opened.send('x');
    expect(opened.asked[0]?.exchange.body).toHaveLength(20_001);
  });

  it('of a body that nobody wants is nothing', async () => {
    const opened = openConnection({ wantsBody: false, maxBodyBytes: 10_000_000 });
    await opened.send(post('/a', 'Content-Length: 5000001\r\n', ''));
    const before = await heldBytes();
    await sendAll(opened, 'x'.repeat(5_000_000));
    expect((await heldBytes()) - before).toBeLessThan(500_000);
    await opened.send('x');
    expect(opened.answers()).toEqual(['/a']);
  });

  it('of trailers in single bytes is no more than their bytes, doubled', async () => {
    const opened = openConnection();
    await opened.send(post('/a', 'Transfer-Encoding: chunked\r\n', '0\r\n'));
    expect(await heldBy(opened, `x: ${'y'.repeat(20_000)}`)).toBeLessThan(400_000);
    await opened.send('\r\n\r\n');
    expect(opened.answers()).toEqual(['/a']);
  });
});
