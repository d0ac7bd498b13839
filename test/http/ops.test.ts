import { type IncomingHttpHeaders, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { createOpsRoutes, type OpsRoutesOptions } from '../../src/http/ops-routes.ts';
import { createOpsServer, type OpsServer } from '../../src/http/ops-server.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A signal that has aborted: let go at once. */
const atOnce = AbortSignal.abort();

async function startOps(
  options: Partial<OpsRoutesOptions> = {},
): Promise<{ port: number; server: OpsServer }> {
  const listener = createOpsRoutes({
    readiness: () => ({ isReady: true, report: { status: 'ready', parts: {} } }),
    metrics: async () => ({
      contentType: 'text/plain; version=0.0.4; charset=utf-8',
      text: 'tiergate_ready 1\n',
    }),
    onError: () => undefined,
    ...options,
  });
  const server = createOpsServer({ host: '127.0.0.1', port: 0, listener });
  const { port } = await server.start();
  cleanups.push(() => server.stop(atOnce));
  return { port, server };
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function ask(port: number, path: string, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request({ host: '127.0.0.1', port, path, method, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      );
    });
    asking.on('error', reject);
    asking.end();
  });
}

/** Sends bytes as they are; resolves with all that came back once the connection ends. */
function sendRaw(
  port: number,
  text: string,
): { socket: Socket; received: () => string; ended: Promise<string> } {
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  let received = '';
  socket.on('data', (chunk) => {
    received += String(chunk);
  });
  const ended = new Promise<string>((resolve) => {
    socket.on('close', () => resolve(received));
    socket.on('error', () => undefined);
  });
  socket.write(text);
  return { socket, received: () => received, ended };
}

describe('the ops port', () => {
  test('lives as long as it answers', async () => {
    const { port } = await startOps({ readiness: () => ({ isReady: false, report: {} }) });
    expect(await ask(port, '/livez')).toMatchObject({ status: 200, body: 'ok\n' });
  });

  test('is ready or not, with the parts as JSON either way', async () => {
    let isReady = false;
    const report = { status: 'starting', parts: { redis: { state: 'degraded', detail: 'refused' } } };
    const { port } = await startOps({ readiness: () => ({ isReady, report }) });
    const before = await ask(port, '/readyz');
    expect(before.status).toBe(503);
    expect(before.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(JSON.parse(before.body)).toEqual(report);
    isReady = true;
    const after = await ask(port, '/readyz?verbose');
    expect(after.status).toBe(200);
    expect(JSON.parse(after.body)).toEqual(report);
  });

  test('gives metrics in the type that they name', async () => {
    const { port } = await startOps();
    const { status, headers, body } = await ask(port, '/metrics');
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
      'content-length': '17',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    expect(body).toBe('tiergate_ready 1\n');
  });

  test('that can not render metrics says so and no more, and goes on', async () => {
    const errors: unknown[] = [];
    const { port } = await startOps({
      metrics: () => Promise.reject(new Error('hunter2')),
      onError: (error) => void errors.push(error),
    });
    expect(await ask(port, '/metrics')).toMatchObject({ status: 500, body: 'internal error\n' });
    expect(errors).toEqual([new Error('hunter2')]);
    expect(await ask(port, '/livez')).toMatchObject({ status: 200 });
  });

  test('answers HEAD with the headers alone', async () => {
    const { port } = await startOps();
    const { status, headers, body } = await ask(port, '/metrics', 'HEAD');
    expect([status, headers['content-length'], body]).toEqual([200, '17', '']);
  });

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('refuses %s', async (method) => {
    const { port } = await startOps();
    const { status, headers } = await ask(port, '/readyz', method);
    expect([status, headers.allow]).toEqual([405, 'GET, HEAD']);
  });

  test.each(['/', '/livez/', '/LIVEZ', '/healthz', '//livez', '/livez/..', '/%6civez', '/metrics;a', '*'])(
    'does not know %s',
    async (path) => {
      const { port } = await startOps();
      expect((await ask(port, path)).status).toBe(404);
    },
  );
});

describe('hostile callers', () => {
  test('a body is not read, and its connection not used again', async () => {
    const { port } = await startOps();
    const { ended } = sendRaw(
      port,
      'GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\nGET /x HTTP/1.1',
    );
    const received = await ended;
    expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n(.*\r\n)*Connection: close\r\n/);
    expect(received.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  });

  test('headers beyond the limit get 431', async () => {
    const { port } = await startOps();
    const { ended } = sendRaw(port, `GET /livez HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(9000)}\r\n\r\n`);
    expect(await ended).toMatch(/^HTTP\/1\.1 431 /);
  });

  test.each([
    ['no host', 'GET /livez HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['garbage', '\u0016\u0003\u0001\u0002\u0000\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'two lengths',
      'POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
    ['a tunnel', 'CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: a\r\n\r\n', /^$/],
    ['an upgrade', 'GET /livez HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n', /^$/],
  ])('%s ends the connection', async (_name, text, answer) => {
    const { port } = await startOps();
    expect(await sendRaw(port, text).ended).toMatch(answer);
    expect((await ask(port, '/livez')).status).toBe(200);
  });
});

describe('start and stop', () => {
  test('a port that is taken is a rejection', async () => {
    const { port } = await startOps();
    const second = createOpsServer({ host: '127.0.0.1', port, listener: () => undefined });
    await expect(second.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  test('ends idle connections and lets an answer under way end', async () => {
    let release: (text: string) => void = () => undefined;
    const rendering = new Promise<string>((resolve) => {
      release = resolve;
    });
    let isAsked = false;
    const { port, server } = await startOps({
      metrics: async () => {
        isAsked = true;
        return { contentType: 'text/plain', text: await rendering };
      },
    });
    const idle = sendRaw(port, 'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n');
    await expect.poll(idle.received).toContain('ok\n');
    const busy = sendRaw(port, 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n');
    await expect.poll(() => isAsked).toBe(true);

    const stopping = server.stop(new AbortController().signal);
    await idle.ended;
    release('late but whole\n');
    await stopping;
    expect(await busy.ended).toMatch(/late but whole\n$/);
    await expect(ask(port, '/livez')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('cuts off what is still under way when told to let go', async () => {
    let isAsked = false;
    const { port, server } = await startOps({
      metrics: () => {
        isAsked = true;
        return new Promise(() => undefined);
      },
    });
    const busy = sendRaw(port, 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n');
    await expect.poll(() => isAsked).toBe(true);
    const letGo = new AbortController();
    const stopping = server.stop(letGo.signal);
    letGo.abort();
    await stopping;
    expect(await busy.ended).toBe('');
  });

  test('of a server that never started is done at once', async () => {
    await createOpsServer({ host: '127.0.0.1', port: 0, listener: () => undefined }).stop(atOnce);
  });
});
