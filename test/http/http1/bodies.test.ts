import { describe, expect, it } from 'vitest';
import { get, openConnection, post } from './open-connection.ts';

const chunked = (body: string, target = '/chunks') => post(target, 'Transfer-Encoding: chunked\r\n', body);

describe('a body', () => {
  it('is the same wherever its bytes are cut', async () => {
    const all =
      post('/length', 'Content-Length: 11\r\n', 'hello\r\n\r\nhi') +
      chunked('5\r\nhello\r\nA;a=b;c\r\n0123456789\r\n00\r\nx: y\r\nz:\r\n\r\n') +
      get('/none');
    const whole = ['POST /length hello\r\n\r\nhi', 'POST /chunks hello0123456789', 'GET /none'];
    for (let cut = 1; cut < all.length; cut += 1) {
      const opened = openConnection();
      await opened.send(all.slice(0, cut), all.slice(cut));
      expect(opened.requests()).toEqual(whole);
      expect(opened.answers()).toEqual(['/length', '/chunks', '/none']);
    }
    const opened = openConnection();
    await opened.send(...Array.from(all));
    expect(opened.requests()).toEqual(whole);
  });

  it('that nobody wants is read to its end all the same', async () => {
    const opened = openConnection({ wantsBody: false });
    await opened.send(
      post('/length', 'Content-Length: 14\r\n', get('/h').slice(0, 14)) +
        chunked(`e\r\n${get('/h').slice(0, 14)}\r\n0\r\n\r\n`) +
        get('/next'),
    );
    expect(opened.requests()).toEqual(['POST /length', 'POST /chunks', 'GET /next']);
    expect(opened.asked.map(({ exchange }) => exchange.body?.length)).toEqual([0, 0, undefined]);
  });

  it('that is empty is one where chunks say so, and none by its length', async () => {
    const opened = openConnection();
    await opened.send(chunked('0\r\n\r\n') + post('/length', 'Content-Length: 0\r\n', ''));
    expect(opened.asked.map(({ exchange }) => exchange.body?.length)).toEqual([0, undefined]);
  });

  it.each([
    ['by its length', post('/a', 'Content-Length: 1001\r\n', '')],
    ['by its chunks', chunked(`3e0\r\n${'x'.repeat(0x3e0)}\r\n9\r\n123456789\r\n`)],
  ])('that is too long %s is not awaited, and ends the connection', async (_how, sent) => {
    const opened = openConnection({ maxBodyBytes: 1000 });
    await opened.send(`${sent}${get('/next')}`);
    expect(opened.asked.map(({ exchange }) => exchange.isBodyTooLong)).toEqual([true]);
    expect(opened.heard()).toContain('connection: close\r\n');
    expect(opened.hasEnded()).toBe(true);
  });

  it('may be as long as is allowed', async () => {
    const opened = openConnection({ maxBodyBytes: 1000 });
    const body = 'x'.repeat(1000);
    await opened.send(post('/a', 'Content-Length: 1000\r\n', body) + chunked(`3e8\r\n${body}\r\n0\r\n\r\n`));
    expect(opened.asked.map(({ exchange }) => exchange.body?.length)).toEqual([1000, 1000]);
  });
});

describe('chunks', () => {
  it.each([
    ['a size that is none', 'x\r\n'],
    ['no size', '\r\n'],
    ['an empty size with an extension', ';a\r\n'],
    ['a sign', '+5\r\nhello\r\n'],
    ['a prefix', '0x5\r\nhello\r\n'],
    ['blanks around a size', ' 5 \r\nhello\r\n'],
    ['a size beyond counting', '000000005\r\nhello\r\n'],
    ['a bare LF behind a size', '5\nhello\r\n'],
    ['a bare CR in a size', '5\r5\r\nhello\r\n'],
    ['a bare LF behind data', '5\r\nhello\n0\r\n\r\n'],
    ['more data than said', '5\r\nhello!\r\n'],
    ['less data than said', '5\r\nhell\r\n0\r\n\r\n'],
    ['an extension without a name', '5;\r\nhello\r\n'],
    ['an extension with blanks', '5; a\r\nhello\r\n'],
    ['an extension in quotes', '5;a="b\r\n"\r\nhello\r\n'],
    ['an extension with a line feed', '5;a\nb\r\nhello\r\n'],
    ['extensions without end', `5;${'a'.repeat(17_000)}`],
    ['many extensions', `1;${'a'.repeat(4000)}\r\nx\r\n`.repeat(5)],
    ['a trailer without a name', '0\r\n: y\r\n\r\n'],
    ['a trailer that is folded', '0\r\nx: y\r\n z\r\n\r\n'],
    ['a trailer with a NUL', '0\r\nx: y\0\r\n\r\n'],
    ['a trailer with a bare LF', '0\r\nx: y\n\r\n'],
    ['a trailer that is a length', '0\r\nContent-Length: 5\r\n\r\n'],
    ['a trailer that is a coding', '0\r\nTransfer-encoding: chunked\r\n\r\n'],
    ['a trailer of the connection', '0\r\nConnection: close\r\n\r\n'],
    ['trailers without end', `0\r\n${'x: y\r\n'.repeat(11_000)}`],
    ['a trailer without end', `0\r\nx: ${'y'.repeat(66_000)}`],
  ])('with %s are refused', async (_what, body) => {
    const opened = openConnection();
    await opened.send(chunked(body));
    await opened.send(get('/next'));
    expect(opened.requests()).toEqual([]);
    expect(opened.answers()).toEqual(['400']);
    expect(opened.hasEnded()).toBe(true);
  });
});

describe('who awaits a 100 before it sends the body', () => {
  const head = (target: string, length = 5) =>
    `POST ${target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;

  it('gets it, and then its answer', async () => {
    const opened = openConnection();
    await opened.send(head('/a'));
    expect(opened.heard()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    await opened.send('hello');
    expect(opened.answers()).toEqual(['100', '/a']);
  });

  it('gets none where it sends it anyway, or has none to send', async () => {
    const opened = openConnection();
    await opened.send(`${head('/a')}hello${head('/b', 0)}`);
    expect(opened.answers()).toEqual(['/a', '/b']);
  });

  it('gets it behind the answers that are due', async () => {
    const opened = openConnection({ onRequest: () => undefined });
    await opened.send(get('/first') + head('/a'));
    expect(opened.heard()).toBe('');
    opened.asked[0]?.answer('/first');
    await opened.send();
    expect(opened.answers()).toEqual(['/first', '100']);
    await opened.send('hello');
    opened.asked[1]?.answer('/a');
    await opened.send();
    expect(opened.answers()).toEqual(['/first', '100', '/a']);
  });

  it('is told at once where the body is too long', async () => {
    const opened = openConnection({ maxBodyBytes: 4 });
    await opened.send(head('/a'));
    expect(opened.answers()).toEqual(['/a']);
    expect(opened.asked[0]?.exchange.isBodyTooLong).toBe(true);
  });
});
