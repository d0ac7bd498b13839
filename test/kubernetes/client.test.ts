import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DependencyFault } from '../../src/dependency-error.ts';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { statusMessage, statusReason } from '../../src/kubernetes/answer.ts';
import { createSecret } from '../../src/secret.ts';
import {
  cut,
  endless,
  type FaultAnswer,
  type FaultServer,
  halfBody,
  hang,
  json,
  startFaultServer,
  text,
} from '../support/fault-server.ts';

const ownToken = 'own-token-that-nobody-may-see';
const path = '/apis/authentication.k8s.io/v1/tokenreviews';
const forbidden = {
  kind: 'Status',
  status: 'Failure',
  reason: 'Forbidden',
  message: 'not for you',
  code: 403,
};

let server: FaultServer;
let client: KubernetesClient;

function createClient(more: { readonly timeoutMs?: number; readonly maxConnections?: number } = {}) {
  return createKubernetesClient({
    connection: createFixedConnection({ server: server.url, token: createSecret(ownToken) }),
    timeoutMs: 2_000,
    now: () => Date.parse('2026-11-22T10:00:00Z'),
    ...more,
  });
}

beforeEach(async () => {
  server = await startFaultServer(json(200, { ok: true }));
  client = createClient();
});
afterEach(async () => {
  client.close();
  await server.stop();
});

const get = (more: { readonly signal?: AbortSignal; readonly maxAnswerBytes?: number } = {}) =>
  client.request({ method: 'GET', path: '/api', ...more });
const post = (idempotent?: boolean) =>
  client.request({
    method: 'POST',
    path,
    body: { spec: {} },
    ...(idempotent !== undefined && { idempotent }),
  });

async function faultOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    (value) => expect.unreachable(`answered ${inspect(value)}`),
    (error: unknown) => error,
  );
}

describe('a request', () => {
  it('sends JSON and the bearer token, and returns what was answered', async () => {
    server.answer(json(201, { status: { authenticated: true } }));
    await expect(client.request({ method: 'POST', path, body: { spec: { token: 't' } } })).resolves.toEqual({
      status: 201,
      body: { status: { authenticated: true } },
    });
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]).toMatchObject({
      method: 'POST',
      path,
      body: '{"spec":{"token":"t"}}',
      headers: {
        authorization: `Bearer ${ownToken}`,
        'content-type': 'application/json',
        accept: 'application/json',
        'user-agent': 'tiergate',
      },
    });
  });

  it('keeps one connection for requests that follow each other', async () => {
    for (let count = 0; count < 5; count += 1) await get();
    expect(server.connections()).toBe(1);
  });

  it('opens no more connections than it may, and lets the rest wait for their turn', async () => {
    client = createClient({ maxConnections: 3 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => get()));
    expect(answers).toHaveLength(20);
    expect(server.connections()).toBe(3);
  });

  it('goes under the path of the server', async () => {
    const connection = createFixedConnection({ server: `${server.url}/k8s/clusters/c-1/` });
    const proxied = createKubernetesClient({ connection, timeoutMs: 2_000 });
    await proxied.request({ method: 'GET', path: '/version' });
    expect(server.requests[0]?.path).toBe('/k8s/clusters/c-1/version');
    expect(server.requests[0]?.headers).not.toHaveProperty('authorization');
  });

  it.each([400, 404, 409, 410, 422])(
    'returns a %i as a value, with the words of its Status',
    async (status) => {
      server.answer(json(status, { kind: 'Status', message: 'why not', reason: 'Because', code: status }));
      const answer = await get();
      expect(answer.status).toBe(status);
      expect(statusMessage(answer)).toBe('why not');
      expect(statusReason(answer)).toBe('Because');
    },
  );

  it('returns a 403 as a value to whoever expects one', async () => {
    server.answer(json(403, forbidden));
    const answer = await client.request({ method: 'GET', path: '/api', expected: [403] });
    expect(answer).toEqual({ status: 403, body: forbidden });
  });
});

interface FaultCase {
  readonly answer: FaultAnswer;
  readonly code: DependencyFault;
  readonly retryAfterMs?: number;
  readonly message?: RegExp;
}

const faults: Readonly<Record<string, FaultCase>> = {
  'a connection that is cut': { answer: cut, code: 'unreachable' },
  'a server that hangs': { answer: hang, code: 'timeout' },
  'an answer without an end': { answer: endless, code: 'timeout' },
  'half a body': { answer: halfBody, code: 'malformed' },
  'a body that is not JSON': { answer: text(200, '<html>hello</html>'), code: 'malformed' },
  'a 404 of something else': { answer: text(404, 'not here'), code: 'malformed' },
  'a redirect': { answer: text(302, '', { location: '/login' }), code: 'malformed' },
  'no HTTP at all': {
    answer: (response) => void response.socket?.end('SSH-2.0-OpenSSH_9.2\r\n'),
    code: 'malformed',
  },
  '401': {
    answer: json(401, { kind: 'Status', message: 'Unauthorized' }),
    code: 'misconfigured',
    message: /401/,
  },
  '403': { answer: json(403, forbidden), code: 'misconfigured', message: /403: not for you/ },
  '429': { answer: json(429, {}, { 'retry-after': '3' }), code: 'overloaded', retryAfterMs: 3_000 },
  '429 with a date': {
    answer: json(429, {}, { 'retry-after': 'Sun, 22 Nov 2026 10:00:05 GMT' }),
    code: 'overloaded',
    retryAfterMs: 5_000,
  },
  '429 with nonsense': { answer: json(429, {}, { 'retry-after': 'soon' }), code: 'overloaded' },
  '500': { answer: json(500, { kind: 'Status', message: 'internal' }), code: 'failed', message: /HTTP 500$/ },
  '503 of a load balancer': {
    answer: text(503, 'no healthy upstream', { 'retry-after': '1' }),
    code: 'failed',
    retryAfterMs: 1_000,
  },
  '500 whose body breaks off': {
    answer: (response) => {
      response.writeHead(500, { 'content-length': '100' });
      response.write('{', () => response.destroy());
    },
    code: 'failed',
  },
};

describe('could not tell', () => {
  it.each(Object.entries(faults))('%s', async (_name, { answer, code, retryAfterMs, message }) => {
    client = createClient({ timeoutMs: 200 });
    server.answer(answer);
    const fault = await faultOf(post());
    expect(fault).toMatchObject({ name: 'DependencyError', dependency: 'kubernetes', code, retryAfterMs });
    if (message !== undefined)
      expect(fault).toMatchObject({ message: expect.stringMatching(message) as string });
  });

  it('nobody listens, and service again once somebody does', async () => {
    await server.stop();
    expect(await faultOf(get())).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('ECONNREFUSED') as string,
    });
    await server.start();
    await expect(get()).resolves.toMatchObject({ status: 200 });
  });

  it('an answer that is longer than allowed', async () => {
    server.answer(json(200, { text: 'x'.repeat(10_000) }));
    expect(await faultOf(get({ maxAnswerBytes: 5_000 }))).toMatchObject({ code: 'malformed' });
    await expect(get({ maxAnswerBytes: 20_000 })).resolves.toMatchObject({ status: 200 });
  });

  it('the caller gave up, before or while waiting', async () => {
    server.answer(hang);
    expect(await faultOf(get({ signal: AbortSignal.abort() }))).toMatchObject({ code: 'timeout' });
    const leaving = new AbortController();
    const waiting = faultOf(get({ signal: leaving.signal }));
    leaving.abort();
    expect(await waiting).toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('gave up') as string,
    });
  });

  it('a turn that did not come in time', async () => {
    client = createClient({ maxConnections: 1, timeoutMs: 200 });
    server.answer(hang);
    const faulted = await Promise.all([faultOf(get()), faultOf(get())]);
    expect(faulted).toMatchObject([{ code: 'timeout' }, { code: 'timeout' }]);
  });

  it('and never shows our own token', async () => {
    const echo: FaultAnswer = (response, { headers }) => {
      const echoed = JSON.stringify({ message: `you said ${headers.authorization}` });
      response.writeHead(403, { 'content-type': 'application/json' });
      response.end(echoed);
    };
    for (const answer of [...Object.values(faults).map((fault) => fault.answer), echo]) {
      client = createClient({ timeoutMs: 200 });
      server.answer(answer);
      const fault = await faultOf(post());
      const shown = `${inspect(fault, { depth: 20, showHidden: true })} ${String(fault)} ${JSON.stringify(fault)}`;
      expect(shown).not.toContain(ownToken);
    }
    expect(inspect(client, { depth: 20, showHidden: true })).not.toContain(ownToken);
  });
});

describe('a kept connection that died', () => {
  /** The first request of each connection is answered, the second is cut. */
  const cutReused = (): void => {
    const seen = new Set<number>();
    server.answer((response, request) => {
      if (seen.has(request.connection)) cut(response, request);
      else json(200, { ok: true })(response, request);
      seen.add(request.connection);
    });
  };

  it('is replaced for what may be sent twice', async () => {
    cutReused();
    await get();
    await expect(get()).resolves.toMatchObject({ status: 200 });
    expect(server.requests).toHaveLength(3);
    await get();
    await expect(post(true)).resolves.toMatchObject({ status: 200 });
  });

  it('ends what may not be sent twice', async () => {
    cutReused();
    await get();
    expect(await faultOf(post())).toMatchObject({ code: 'unreachable' });
    expect(server.requests).toHaveLength(2);
  });

  it('is no reason to ask a server again that cuts new connections as well', async () => {
    await get();
    server.answer(cut);
    expect(await faultOf(get())).toMatchObject({ code: 'unreachable' });
    expect(server.requests).toHaveLength(3);
  });
});
