import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { inspect } from 'node:util';
import { expect, onTestFinished, test, vi } from 'vitest';
import { isDependencyError } from '../src/dependency-error.ts';
import { createFetchJson, type JsonCall } from '../src/fetch-json.ts';
import { createSecret } from '../src/secret.ts';

const never = new AbortController().signal;

async function listen(server: Server & { closeAllConnections?: () => void }): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections?.();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const serve = (listener: RequestListener): Promise<string> => listen(createServer(listener));

function call(url: string, more: Partial<JsonCall> = {}): JsonCall {
  return { name: 'ask', method: 'GET', url, ...more };
}

function fetchFrom(timeoutMs = 2_000) {
  return createFetchJson({ dependency: 'other', timeoutMs });
}

async function faultOf(asking: Promise<unknown>): Promise<string> {
  const error: unknown = await asking.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  return isDependencyError(error)
    ? `${error.dependency} ${error.code}`
    : `not a DependencyError: ${String(error)}`;
}

test('every answer is a value, whatever its status, and a body that is no JSON is none', async () => {
  const url = await serve((request, response) => {
    response.statusCode = Number(request.url?.slice(1));
    response.end(request.url === '/503' ? 'not json' : '{"a":1}');
  });
  expect(await fetchFrom()(call(`${url}/200`), never)).toEqual({ status: 200, body: { a: 1 } });
  expect(await fetchFrom()(call(`${url}/401`), never)).toEqual({ status: 401, body: { a: 1 } });
  expect(await fetchFrom()(call(`${url}/503`), never)).toEqual({ status: 503, body: undefined });
});

test('a redirect is not followed: nobody else gets the token', async () => {
  const asked = vi.fn();
  const elsewhere = await serve((request, response) => {
    asked(request.headers.authorization);
    response.end('{}');
  });
  const url = await serve((_request, response) => response.writeHead(302, { location: elsewhere }).end());
  const answer = await fetchFrom()(call(url, { bearer: createSecret('token') }), never);
  expect(answer.status).toBe(302);
  expect(asked).not.toHaveBeenCalled();
});

test('sends what it is told, and only that', async () => {
  const seen: unknown[] = [];
  const url = await serve((request, response) => {
    request.on('data', (chunk: Buffer) => seen.push(chunk.toString()));
    request.on('end', () => {
      seen.push([request.method, request.headers.authorization, request.headers['content-type']]);
      response.end();
    });
  });
  const body = createSecret('a=b');
  await fetchFrom()(
    call(url, {
      method: 'POST',
      bearer: createSecret('t'),
      body,
      contentType: 'application/x-www-form-urlencoded',
    }),
    never,
  );
  expect(seen).toEqual(['a=b', ['POST', 'Bearer t', 'application/x-www-form-urlencoded']]);
});

test('tells faults apart', async () => {
  const silent = await serve(() => undefined);
  expect(await faultOf(fetchFrom(50)(call(silent), never))).toBe('other timeout');
  expect(await faultOf(fetchFrom()(call(silent), AbortSignal.timeout(50)))).toBe('other timeout');
  expect(await faultOf(fetchFrom()(call(silent), AbortSignal.abort()))).toBe('other timeout');
  expect(await faultOf(fetchFrom()(call('http://127.0.0.1:1'), never))).toBe('other unreachable');
  const cut = await serve((_request, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{"a"');
    setTimeout(() => response.destroy(), 10);
  });
  expect(await faultOf(fetchFrom()(call(cut), never))).toBe('other unreachable');
  const garbage = await listen(createTcpServer((socket) => socket.end('SSH-2.0-hello\r\n\r\n')));
  expect(await faultOf(fetchFrom()(call(garbage), never))).toBe('other malformed');
  const slow = await serve((_request, response) => {
    response.writeHead(200).write('[');
  });
  expect(await faultOf(fetchFrom(50)(call(slow), never))).toBe('other timeout');
});

test('an answer without an end is given up', async () => {
  const url = await serve((_request, response) => {
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    const write = (): void => {
      while (!response.destroyed && response.write(chunk));
      response.once('drain', write);
    };
    write();
  });
  expect(await faultOf(fetchFrom(10_000)(call(url), never))).toBe('other malformed');
});

test('shows no secret in what it throws', async () => {
  const secret = 'a-very-secret-text';
  const error: unknown = await fetchFrom()(
    call(`http://127.0.0.1:1/path?client_id=x`, {
      method: 'POST',
      bearer: createSecret(secret),
      headers: { 'x-token': createSecret(secret) },
      body: createSecret(secret),
    }),
    never,
  ).catch((cause: unknown) => cause);
  expect(inspect(error, { depth: null, showHidden: true })).not.toContain(secret);
  expect(String(error)).toBe('DependencyError: other unreachable: ask at http://127.0.0.1:1');
});

test('tells of every call how long it took and what came of it', async () => {
  const url = await serve((_request, response) => response.writeHead(404).end());
  const onCall = vi.fn();
  const fetchJson = createFetchJson({ dependency: 'other', timeoutMs: 1_000, onCall });
  await fetchJson(call(url), never);
  await fetchJson(call('http://127.0.0.1:1'), never).catch(() => undefined);
  expect(onCall.mock.calls.map(([{ name }, status]) => [name, status])).toEqual([
    ['ask', 404],
    ['ask', undefined],
  ]);
});
