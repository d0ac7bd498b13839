import { describe, expect, it } from 'vitest';
import type { CheckInput } from '../../src/check/check-input.ts';
import { denied, type Outcome } from '../../src/check/outcome.ts';
import { perTwoMinutes, sampleAllowed, standing } from '../envoy/sample.ts';
import { answersIn, ask, serveDoor, speak } from './door.ts';

const unavailable: Outcome = {
  ...denied('identity_unavailable', 'Nobody could tell.', { retryAfterMs: 1500 }),
  subject: 'alice@example.com',
};
const exceeded: Outcome = {
  ...denied('requests_exceeded', 'Used up.', {
    retryAfterMs: 4200,
    windows: [standing(perTwoMinutes, 0, 4200)],
  }),
  subject: 'alice@example.com',
  tier: 'premium',
};

describe('a request to the door', () => {
  it('goes in as plain data and comes back as the outcome', async () => {
    const { port, recorded } = await serveDoor({ headers: ['x-model'] });
    const answer = await ask(port, {
      path: '/llm/llama/v1/chat/completions?x=1',
      headers: [
        ['Authorization', 'Bearer a'],
        ['x-other', '1'],
        ['X-Model', 'llm/llama'],
        ['X-Tiergate-User', 'root'],
        ['x_maas_group', 'admins'],
        ['tiergate-source', '10.1.2.3'],
        ['x-envoy-expected-rq-timeout-ms', '800'],
      ].flat(),
    });
    expect(answer).toEqual({
      status: 200,
      body: '',
      headers: {
        'content-length': '0',
        'x-tiergate-user': 'alice@example.com',
        'x-tiergate-tier': 'premium',
        'x-tiergate-model': 'llm/llama',
        'x-envoy-auth-headers-to-remove':
          'x-tiergate-reservation,x-tiergate-reason,x-maas-username,x-maas-user,x-maas-group,x-maas-tier,x-maas-subscription,authorization,x_maas_group',
        'ratelimit-policy': '"requests-2m";q=20;w=120',
        ratelimit: '"requests-2m";r=19;t=119',
        'x-ratelimit-limit-requests': '20',
        'x-ratelimit-remaining-requests': '19',
        'x-ratelimit-reset-requests': '1m59s',
        user: 'alice@example.com',
        tier: 'premium',
        model: 'llm/llama',
        connection: 'close',
      },
    });
    const input = recorded[0]?.input;
    expect(input).toMatchObject({
      id: '',
      method: 'POST',
      path: '/llm/llama/v1/chat/completions?x=1',
      forgedHeaders: ['x-tiergate-user', 'x_maas_group'],
      source: '10.1.2.3',
    });
    expect(input?.headers.get('authorization')).toBe('Bearer a');
    expect(input?.headers.get('x-model')).toBe('llm/llama');
    expect(input?.headers.has('x-other')).toBe(false);
    expect(input?.deadlineAtMs).toBeGreaterThan(Date.now());
    expect(input?.deadlineAtMs).toBeLessThanOrEqual(Date.now() + 800);
  });

  it('that sends a header twice shows both, joined by a comma', async () => {
    const { port, recorded } = await serveDoor();
    await ask(port, { headers: ['authorization', 'Bearer a', 'Authorization', 'Bearer b'] });
    expect(recorded[0]?.input?.headers.get('authorization')).toBe('Bearer a,Bearer b');
  });

  it('hides no header behind more than Node looks at', async () => {
    const { port, recorded } = await serveDoor();
    const padding = Array.from({ length: 3000 }, (_, at) => [`h${at}`, '1']).flat();
    await ask(port, {
      headers: ['authorization', 'Bearer a', ...padding, 'x-maas-tier', 'gold', 'authorization', 'b'],
    });
    expect(recorded[0]?.input?.forgedHeaders).toEqual(['x-maas-tier']);
    expect(recorded[0]?.input?.headers.get('authorization')).toBe('Bearer a,b');
  });

  it('gives the slot of an open request to the access log, by metadata', async () => {
    const { port } = await serveDoor({ check: () => ({ ...sampleAllowed, slotId: 'T.1' }) });
    expect((await ask(port)).headers['slot_id']).toBe('T.1');
  });

  it('gives the tokens that are reserved to the model and to the access log', async () => {
    const check = () => ({ ...sampleAllowed, reservation: { id: 'T.2', tokens: 300 } });
    const { headers } = await ask((await serveDoor({ check })).port);
    expect(headers).toMatchObject({
      'x-tiergate-reservation': 'T.2',
      reservation_id: 'T.2',
      reserved_tokens: '300',
    });
    expect(headers['x-envoy-auth-headers-to-remove']).not.toContain('x-tiergate-reservation');
  });

  it('tells what is asked for: by headers of the proxy, or by the whole body', async () => {
    const { port, recorded } = await serveDoor();
    const metadata = '{"stream":true,"max_tokens":"7\\n","n":[1],"best_of":null}';
    await ask(port, { headers: ['tiergate-size', '400', 'tiergate-metadata', metadata] });
    await ask(port, { body: '{"n": 2}', headers: ['x-envoy-auth-partial-body', 'false'] });
    await ask(port, { body: '{"n": 2', headers: ['x-envoy-auth-partial-body', 'true'] });
    const [told, whole, part] = recorded.map(({ input }) => input);
    expect(told?.bodyBytes).toBe(400);
    expect(Object.fromEntries(told?.metadata ?? [])).toEqual({ stream: true, max_tokens: '7\n' });
    expect(whole).toMatchObject({ bodyBytes: 8, body: Buffer.from('{"n": 2}') });
    expect(part).toMatchObject({ bodyBytes: undefined, body: undefined });
  });

  it.each([
    ['twice', ['tiergate-metadata', '{"n":1}', 'tiergate-metadata', '{}']],
    ['cut off', ['tiergate-metadata', '{"max_tokens":"100']],
    ['as no object', ['tiergate-metadata', '[1]']],
  ])('refuses what is asked for when it is told %s', async (_, headers) => {
    const { port, recorded } = await serveDoor();
    const { status } = await ask(port, { headers });
    expect(status).toBe(400);
    expect(recorded[0]?.outcome).toMatchObject({ reason: 'request_invalid' });
  });

  it('of whoever is not trusted tells nothing of that', async () => {
    const { port, recorded } = await serveDoor({ trust: [] });
    await ask(port, { headers: ['tiergate-size', '4', 'tiergate-metadata', '{"max_tokens":7}'] });
    expect(recorded[0]?.input).toMatchObject({ bodyBytes: undefined, metadata: new Map() });
  });

  it('is believed about the client’s address only by peers that are trusted', async () => {
    const { port, recorded } = await serveDoor({ trust: ['10.0.0.0/8'] });
    await ask(port, { headers: ['tiergate-source', '10.1.2.3', 'x-envoy-expected-rq-timeout-ms', '1'] });
    expect(recorded[0]?.input).toMatchObject({ source: '127.0.0.1', deadlineAtMs: Number.POSITIVE_INFINITY });
  });

  it.each([
    ['twice', ['tiergate-source', '10.1.2.3', 'tiergate-source', '10.9.9.9']],
    ['as no address', ['tiergate-source', 'localhost']],
  ])('whose source is told %s has its peer’s', async (_how, headers) => {
    const { port, recorded } = await serveDoor();
    await ask(port, { headers });
    expect(recorded[0]?.input?.source).toBe('127.0.0.1');
  });

  it('waits for an outcome that takes time, and for the end of a body', async () => {
    const { port } = await serveDoor({ check: async () => exceeded });
    const answer = await ask(port, { body: '{"model": "llama"}' });
    expect(answer.status).toBe(429);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json',
      'x-tiergate-reason': 'requests_exceeded',
      'retry-after': '5',
      ratelimit: '"requests-2m";r=0;t=5',
      reason: 'requests_exceeded',
      user: 'alice@example.com',
      tier: 'premium',
    });
    expect(JSON.parse(answer.body)).toMatchObject({ error: { reason: 'requests_exceeded' } });
  });

  it('with a body beyond the bound is denied, and its connection closed', async () => {
    const { port, recorded } = await serveDoor({ tuning: { maxBodyBytes: 1000 } });
    const answer = await ask(port, { body: 'x'.repeat(1001) });
    expect(answer).toMatchObject({ status: 413, headers: { connection: 'close' } });
    expect(recorded).toMatchObject([{ outcome: { reason: 'body_too_large' }, input: undefined }]);
    expect((await ask(port, { body: 'x'.repeat(1000) })).status).toBe(200);
  });

  it.each([
    [
      'at once',
      () => {
        throw new Error('a bug');
      },
    ],
    ['later', () => Promise.reject(new Error('a bug'))],
    [
      'by an outcome that can not be read',
      () => ({ ...sampleAllowed, kind: 'model' as const, windows: undefined as never }),
    ],
  ])('that fails by a bug %s is denied as internal, and its cause goes to the log', async (_when, check) => {
    const { port, recorded, faults } = await serveDoor({ profile: 'caddy', check });
    const answer = await ask(port, { headers: ['x-forwarded-method', 'POST', 'x-forwarded-uri', '/a'] });
    expect(answer).toMatchObject({ status: 500, headers: { 'x-tiergate-reason': 'internal' } });
    expect(answer.body).not.toContain('a bug');
    expect(recorded).toMatchObject([{ outcome: { reason: 'internal', cause: expect.any(Error) } }]);
    expect(faults).toMatchObject([{ fault: 'check', error: expect.any(Error) }]);
  });

  it('whose answer would hold what no header can is denied as internal', async () => {
    const { port, faults } = await serveDoor({ check: () => ({ ...sampleAllowed, slotId: 'a\r\nb: c' }) });
    expect(await ask(port)).toMatchObject({ status: 408, headers: { reason: 'internal' } });
    expect(faults).toMatchObject([{ fault: 'check', error: { code: 'ERR_INVALID_CHAR' } }]);
  });

  it('is answered even where its record fails', async () => {
    const { port, faults } = await serveDoor({
      recordOutcome: () => {
        throw new Error('disk full');
      },
    });
    expect((await ask(port)).status).toBe(200);
    expect(faults).toMatchObject([{ fault: 'check', error: { message: 'disk full' } }]);
  });
});

const told = {
  nginx: ['x-original-method', 'x-original-uri', 'x-real-ip'],
  caddy: ['x-forwarded-method', 'x-forwarded-uri', 'x-forwarded-for'],
  traefik: ['x-forwarded-method', 'x-forwarded-uri', 'x-forwarded-for'],
} as const;

describe.each(['nginx', 'caddy', 'traefik'] as const)('for %s', (profile) => {
  const [method, uri, source] = told[profile];

  it('the original request is what the proxy tells, and not what comes here', async () => {
    const { port, recorded } = await serveDoor({ profile });
    const headers = [method, 'DELETE', uri, '/llm/qwen-large/v1?x=/llm/llama', source, '8.8.8.8, 10.1.2.3'];
    const answer = await ask(port, { method: 'GET', path: '/auth', headers });
    expect(answer.status).toBe(200);
    expect(answer.headers).not.toHaveProperty('x-envoy-auth-headers-to-remove');
    expect(recorded[0]?.input).toMatchObject({
      method: 'DELETE',
      path: '/llm/qwen-large/v1?x=/llm/llama',
      source: '10.1.2.3',
    });
  });

  it.each([
    ['no path', [method, 'GET']],
    ['no method', [uri, '/llm/llama/v1']],
    ['an empty path', [method, 'GET', uri, '']],
    ['two paths', [method, 'GET', uri, '/llm/llama/v1', uri, '/llm/qwen-large/v1']],
    ['two methods', [method, 'GET', method, 'POST', uri, '/llm/llama/v1']],
    ['a header that looks like ours', [method, 'GET', uri, '/llm/llama/v1', 'X_Tiergate-User', 'root']],
  ])('%s is refused, and asks nobody', async (_what, headers) => {
    const { port, recorded } = await serveDoor({ profile, check: () => expect.unreachable() });
    const answer = await ask(port, { headers });
    expect(answer.headers['x-tiergate-reason']).toBe('request_invalid');
    expect(recorded).toMatchObject([{ outcome: { reason: 'request_invalid' }, input: undefined }]);
  });

  it('a caller that is not trusted is refused, and the operator told', async () => {
    const { port, untrusted } = await serveDoor({ profile, trust: ['10.0.0.0/8'] });
    const answer = await ask(port, { headers: [method, 'GET', uri, '/llm/llama/v1'] });
    expect(answer.headers['x-tiergate-reason']).toBe('request_invalid');
    expect(untrusted()).toBe(1);
  });
});

const statuses = [
  ['envoy', exceeded, 429],
  ['envoy', unavailable, 408],
  ['istio', unavailable, 408],
  ['nginx', exceeded, 403],
  ['nginx', unavailable, 403],
  ['nginx', denied('credential_missing', 'None.'), 401],
  ['caddy', exceeded, 429],
  ['caddy', unavailable, 503],
  ['traefik', unavailable, 503],
] as const;

it.each(statuses)('to %s, %j is a %d', async (profile, outcome, status) => {
  const { port } = await serveDoor({ profile, check: () => outcome });
  const headers =
    profile in told ? told[profile as keyof typeof told].slice(0, 2).flatMap((name) => [name, '/a']) : [];
  const answer = await ask(port, { headers });
  expect(answer.status).toBe(status);
  expect(answer.headers['x-tiergate-reason']).toBe(outcome.reason);
  const body = profile === 'nginx' ? answer.headers['x-tiergate-body'] : answer.body;
  expect(JSON.parse(body ?? '')).toMatchObject({ error: { reason: outcome.reason } });
});

it('a body that travels in a header is ASCII in one line', async () => {
  const { port } = await serveDoor({
    profile: 'nginx',
    check: () => denied('no_tier', 'Kein Zugang für\r\nx: y'),
  });
  const { headers } = await ask(port, { headers: ['x-original-method', 'GET', 'x-original-uri', '/a'] });
  expect(headers['x-tiergate-status']).toBe('403');
  expect(headers).not.toHaveProperty('x');
  expect(JSON.parse(headers['x-tiergate-body'] ?? '')).toMatchObject({
    error: { message: 'Kein Zugang für\r\nx: y' },
  });
});

describe('a connection', () => {
  const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;

  it('is kept, and answers in the order of the questions, however long each takes', async () => {
    const waits: Record<string, number> = { '/a/a': 30, '/b/b': 0, '/c/c': 10 };
    const check = async ({ path }: CheckInput) => {
      await new Promise((resolve) => setTimeout(resolve, waits[path]));
      return denied('model_forbidden', path);
    };
    const { port } = await serveDoor({ check });
    const heard = await speak(port, get('/a/a') + get('/b/b'), get('/c/c', 'Connection: close\r\n'));
    const said = answersIn(heard).map(
      ({ body }) => (JSON.parse(body) as { error: { message: string } }).error.message,
    );
    expect(said).toEqual(['/a/a', '/b/b', '/c/c']);
  });

  it('is answered synchronously as well, one write for each answer', async () => {
    const { port } = await serveDoor();
    const heard = await speak(port, get('/a/a').repeat(20) + get('/c/c', 'Connection: close\r\n'));
    expect(answersIn(heard).map(({ status }) => status)).toEqual(Array.from({ length: 21 }, () => 200));
  });

  it('is closed with its answer while the door is leaving, and none is lost', async () => {
    let release = () => undefined as unknown;
    const held = new Promise((resolve) => (release = () => resolve(undefined)));
    const { port, door } = await serveDoor({ check: () => held.then(() => sampleAllowed) });
    const heard = speak(port, get('/a/a'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const stopped = door.stop({ drainDelayMs: 0, graceMs: 2000 });
    release();
    expect(answersIn(await heard)).toMatchObject([{ status: 200, headers: { connection: 'close' } }]);
    await stopped;
    await expect(ask(port)).rejects.toThrow('ECONNREFUSED');
  });

  it('that is cut off when the grace time is over has no answer', async () => {
    const { port, door } = await serveDoor({ check: () => new Promise(() => undefined) });
    const heard = speak(port, get('/a/a'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await door.stop({ drainDelayMs: 0, graceMs: 0 });
    expect(await heard).toBe('');
  });
});

it('warms itself up without anybody noticing', async () => {
  let checks = 0;
  const check = () => {
    checks += 1;
    return sampleAllowed;
  };
  for (const profile of ['envoy', 'nginx'] as const) {
    const { recorded, faults } = await serveDoor({ profile, check, tuning: { warmUpRequests: 3 } });
    expect(recorded).toEqual([]);
    expect(faults).toEqual([]);
  }
  expect(checks).toBe(6);
});
