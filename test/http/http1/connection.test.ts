import { describe, expect, it } from 'vitest';
import { get, openConnection, post, settled, textAnswer } from './open-connection.ts';

const waiting = { onRequest: () => undefined };

describe('answers', () => {
  it('come in the order of requests, whichever is there first', async () => {
    const opened = openConnection(waiting);
    await opened.send(get('/a') + get('/b') + get('/c'));
    for (const at of [2, 1]) opened.asked[at]?.answer(`${at}`);
    await settled();
    expect(opened.heard()).toBe('');
    opened.asked[0]?.answer('0');
    await settled();
    expect(opened.answers()).toEqual(['0', '1', '2']);
    expect(opened.hasEnded()).toBe(false);
  });

  it('to all that was read at once leave by one write', async () => {
    const opened = openConnection();
    await opened.send(get('/a').repeat(20));
    expect(opened.answers()).toHaveLength(20);
    expect(opened.writes()).toBe(1);
  });

  it('are given once', async () => {
    const opened = openConnection(waiting);
    await opened.send(get('/a') + get('/b'));
    opened.asked[0]?.answer('first');
    opened.asked[0]?.answer('again');
    await settled();
    expect(opened.answers()).toEqual(['first']);
    opened.asked[1]?.answer('second');
    await settled();
    expect(opened.answers()).toEqual(['first', 'second']);
  });

  it('to HEAD have a length, and no body', async () => {
    const opened = openConnection();
    await opened.send('HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(opened.heard()).toBe('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n');
  });

  it('with a status that has no phrase have an empty one', async () => {
    const opened = openConnection(waiting);
    await opened.send(get('/a'));
    const [asked] = opened.asked;
    if (asked !== undefined) opened.connection.answer(asked.exchange, textAnswer('x', 599));
    await settled();
    expect(opened.heard()).toMatch(/^HTTP\/1\.1 599 \r\n/);
  });
});

describe('a connection', () => {
  it.each([
    ['HTTP/1.1', '', undefined],
    ['HTTP/1.1', 'Connection: close\r\n', 'close'],
    ['HTTP/1.1', 'Upgrade: websocket\r\nConnection: upgrade\r\n', 'close'],
    ['HTTP/1.0', '', 'close'],
    ['HTTP/1.0', 'Connection: keep-alive\r\n', 'keep-alive'],
  ])('of %s with %j says %s', async (version, headers, said) => {
    const opened = openConnection();
    await opened.send(`GET /a ${version}\r\nHost: a\r\n${headers}\r\n${get('/b')}`);
    expect(/connection: (.*)\r\n/.exec(opened.heard())?.[1]).toBe(said);
    expect(opened.hasEnded()).toBe(said === 'close');
    expect(opened.answers()).toEqual(said === 'close' ? ['/a'] : ['/a', '/b']);
  });

  it('answers whoever has said all and closed its side', async () => {
    const opened = openConnection(waiting);
    opened.client.end(get('/a') + get('/b'));
    await settled();
    expect(opened.hasEnded()).toBe(false);
    opened.asked[0]?.answer('0');
    opened.asked[1]?.answer('1');
    await settled();
    expect(opened.answers()).toEqual(['0', '1']);
    expect(opened.hasEnded()).toBe(true);
  });

  it.each([
    ['a head', get('/b').slice(0, 20)],
    ['a body', post('/b', 'Content-Length: 5\r\n', 'he')],
    ['chunks', post('/b', 'Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\n')],
  ])('that ends amid %s is refused, behind its answers', async (_what, part) => {
    const opened = openConnection();
    opened.client.end(get('/a') + part);
    await settled();
    expect(opened.answers()).toEqual(['/a', '400']);
    expect(opened.hasEnded()).toBe(true);
  });

  it('that says nothing and closes gets nothing', async () => {
    const opened = openConnection();
    opened.client.end();
    await settled();
    expect([opened.heard(), opened.hasEnded()]).toEqual(['', true]);
  });

  it('that is gone takes answers no more, and nothing breaks', async () => {
    const opened = openConnection(waiting);
    await opened.send(get('/a'));
    opened.client.destroy();
    await settled();
    opened.asked[0]?.answer('too late');
    await settled();
    expect(opened.bugs).toEqual([]);
  });

  it('is read on after what a receiver threw, which costs its own request alone', async () => {
    const opened = openConnection({
      onRequest({ exchange, answer }) {
        if (exchange.head.target === '/bug') throw new Error('a bug');
        answer(exchange.head.target);
      },
    });
    await opened.send(get('/a') + get('/bug') + get('/b'));
    expect(opened.answers()).toEqual(['/a', '500', '/b']);
    expect(opened.bugs).toMatchObject([{ message: 'a bug' }]);
  });

  it.each([
    ['TLS', '\x16\x03\x01'],
    ['a bare LF', 'GET /a HTTP/1.1\nHost: a\n'],
    ['a head that is too long', `GET /a HTTP/1.1\r\nx: ${'y'.repeat(1000)}`],
  ])('on which %s comes is refused without more', async (_what, sent) => {
    const opened = openConnection({ maxHeaderBytes: 1000 });
    await opened.send(sent);
    expect(opened.answers()).toEqual([sent.length > 1000 ? '431' : '400']);
    expect(opened.hasEnded()).toBe(true);
  });

  it('takes heads as long as allowed, in any pieces', async () => {
    const long = get('/a', `x: ${'y'.repeat(965)}\r\n`);
    for (const pieces of [[long], [long.slice(0, 500), long.slice(500)], Array.from(long)]) {
      const opened = openConnection({ maxHeaderBytes: long.length });
      await opened.send(...pieces);
      expect(opened.answers()).toEqual(['/a']);
      const bounded = openConnection({ maxHeaderBytes: long.length - 1 });
      await bounded.send(...pieces);
      expect(bounded.answers()).toEqual(['431']);
    }
  });
});

describe('a server that is leaving', () => {
  it('says so with the last answer that is due, and loses none', async () => {
    const opened = openConnection(waiting);
    await opened.send(get('/a') + get('/b'));
    opened.leave();
    opened.asked[0]?.answer('0');
    await settled();
    expect(opened.heard()).not.toContain('close');
    opened.asked[1]?.answer('1');
    await opened.send(get('/late'));
    expect(opened.answers()).toEqual(['0', '1']);
    expect(opened.heard()).toContain('connection: close');
    expect(opened.hasEnded()).toBe(true);
  });

  it('ends connections on which nothing is under way, and no others', async () => {
    const sent = ['', get('/a'), get('/a').slice(0, 9), post('/a', 'Content-Length: 5\r\n', 'he')];
    const found = sent.map(async (bytes) => {
      const opened = openConnection(waiting);
      await opened.send(bytes);
      opened.connection.endIfIdle();
      await settled();
      return opened.hasEnded();
    });
    expect(await Promise.all(found)).toEqual([true, false, false, false]);
  });
});
