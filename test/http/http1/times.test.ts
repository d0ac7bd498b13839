import { describe, expect, it } from 'vitest';
import { get, openConnection, post, settled, times } from './open-connection.ts';

const part = get('/a').slice(0, 9);

describe('who takes too long', () => {
  it.each([
    ['to say anything', '', times.head],
    ['for a head', part, times.head],
    ['for a body', post('/a', 'Content-Length: 5\r\n', 'he'), times.body],
    ['for chunks', post('/a', 'Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n'), times.body],
    ['for another head', get('/first') + part, times.head],
  ])('%s is told so, and put out', async (_what, sent, ticks) => {
    const opened = openConnection();
    await opened.send(sent);
    const before = opened.answers();
    await opened.pass(ticks);
    expect(opened.hasEnded()).toBe(false);
    await opened.pass(1);
    expect(opened.answers()).toEqual([...before, '408']);
    expect(opened.hasEnded()).toBe(true);
  });

  it('gains no time by single bytes', async () => {
    const opened = openConnection();
    for (const byte of part) {
      await opened.send(byte);
      await opened.pass(2);
    }
    expect(opened.answers()).toEqual(['408']);
  });

  it('to ask again is put out without a word', async () => {
    const opened = openConnection();
    await opened.send(get('/a'));
    await opened.pass(times.idle);
    expect(opened.hasEnded()).toBe(false);
    await opened.pass(1);
    expect(opened.answers()).toEqual(['/a']);
    expect(opened.hasEnded()).toBe(true);
  });

  it('to close its side after ours is cut off', async () => {
    const opened = openConnection();
    opened.client.allowHalfOpen = true;
    await opened.send(get('/a', 'Connection: close\r\n'));
    expect(opened.client.destroyed).toBe(false);
    await opened.pass(times.ended + 1);
    expect(opened.client.destroyed).toBe(true);
  });

  it('is not whoever waits for us', async () => {
    const opened = openConnection({ onRequest: () => undefined });
    await opened.send(get('/a') + post('/b', 'Content-Length: 1\r\n', 'x'));
    await opened.pass(times.idle + times.body);
    for (const { answer } of opened.asked) answer('late');
    await settled();
    expect(opened.answers()).toEqual(['late', 'late']);
    await opened.pass(times.idle);
    expect(opened.hasEnded()).toBe(false);
  });
});
