import { describe, expect, it } from 'vitest';
import { DependencyError } from '../../src/dependency-error.ts';
import { createThrottle } from '../../src/http/throttle.ts';
import { ask, consoleWorld, logIn } from './console-world.ts';

const world = consoleWorld();
const reset = { method: 'POST', path: '/api/usage/reset', body: {} };

describe('the host', () => {
  it.each([
    'localhost',
    '127.0.0.1:9093',
    '127.0.0.2',
    '[::1]:8001',
    'LOCALHOST:80',
    'console.example.com:443',
  ])('%s is answered', async (host) => {
    expect(await ask(world.port(), { headers: { host } })).toMatchObject({ status: 200 });
  });

  it.each([
    'attacker.example',
    'localhost.attacker.example',
    '127.0.0.1.attacker.example',
    'console.example.com.attacker.example',
    '10.0.0.1',
    '[::2]',
    'localhost:1:2',
    'attacker.example@localhost',
    '127.1',
    '0',
  ])('%j is not, for a page or for anything else', async (host) => {
    const { cookie } = await logIn(world.port(), 'token-of-ada');
    const asked = [
      { path: '/' },
      { path: '/app.js' },
      { path: '/api/live', headers: { cookie } },
      { path: '/api/live', headers: { authorization: 'Bearer token-of-ada' } },
      { method: 'POST', path: '/api/session', body: { token: 'token-of-ada' } },
    ];
    for (const each of asked) {
      const answered = await ask(world.port(), { ...each, headers: { ...each.headers, host } });
      expect(answered).toMatchObject({ status: 421, reason: 'host_refused' });
      expect(answered.headers['set-cookie']).toBeUndefined();
    }
  });
});

describe('logging in', () => {
  it('opens a session by a cookie that no script and no other site can use', async () => {
    const { setCookie, cookie } = await logIn(world.port(), 'token-of-ada');
    expect(setCookie).toMatch(/^tiergate_console=[^;]+; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Strict$/);
    expect(setCookie).not.toContain('token-of-ada');
    expect(await ask(world.port(), { path: '/api/session', headers: { cookie } })).toMatchObject({
      status: 200,
      body: { user: 'ada@example.com', mayChange: true },
    });
  });

  it('marks the cookie Secure where the browser came by https', async () => {
    const headers = { host: 'console.example.com', origin: 'https://console.example.com' };
    const { headers: answered } = await ask(world.port(), {
      method: 'POST',
      path: '/api/session',
      body: { token: 'token-of-lou' },
      headers,
    });
    expect(String(answered['set-cookie'])).toMatch(/^__Host-tiergate_console=.*; Secure$/);
  });

  it.each([
    { token: 'guessed', status: 401, reason: 'token_rejected' },
    { token: 'access-token', status: 401, reason: 'wrong_audience' },
    { token: 'tier-account', status: 401, reason: 'wrong_audience' },
    { token: 'token-of-nobody', status: 403, reason: 'console_forbidden' },
    { token: 'two words', status: 401, reason: 'credential_malformed' },
    { token: '', status: 401, reason: 'credential_malformed' },
    { token: ['token-of-ada'], status: 401, reason: 'credential_malformed' },
  ])('is refused for $token', async ({ token, status, reason }) => {
    const answered = await ask(world.port(), { method: 'POST', path: '/api/session', body: { token } });
    expect(answered).toMatchObject({ status, reason });
    expect(answered.headers['set-cookie']).toBeUndefined();
    expect(answered.text).not.toContain(String(token) || 'token-of');
  });

  it('takes no form, which a page of any site could send', async () => {
    const answered = await ask(world.port(), {
      method: 'POST',
      path: '/api/session',
      headers: { 'content-type': 'text/plain' },
      body: { token: 'token-of-ada' },
    });
    expect(answered).toMatchObject({ status: 400, reason: 'request_invalid' });
  });

  it('takes no body without an end', async () => {
    const body = { token: 'x'.repeat(40_000) };
    expect(await ask(world.port(), { method: 'POST', path: '/api/session', body })).toMatchObject({
      status: 413,
      reason: 'body_too_large',
    });
  });

  it('ends the session before', async () => {
    const first = await logIn(world.port(), 'token-of-ada');
    await ask(world.port(), {
      method: 'POST',
      path: '/api/session',
      body: { token: 'token-of-ada' },
      headers: { cookie: first.cookie },
    });
    const { reason } = await ask(world.port(), { path: '/api/live', headers: { cookie: first.cookie } });
    expect(reason).toBe('session_missing');
  });
});

describe('a session', () => {
  it('is needed', async () => {
    expect(await ask(world.port(), { path: '/api/live' })).toMatchObject({
      status: 401,
      reason: 'session_missing',
    });
    const headers = { cookie: 'tiergate_console=guessed' };
    expect(await ask(world.port(), { path: '/api/live', headers })).toMatchObject({
      reason: 'session_missing',
    });
    expect(await ask(world.port(), { path: '/api/session' })).toMatchObject({ status: 200, body: {} });
  });

  it('lets look whoever may look, and change nothing', async () => {
    const { cookie, csrf } = await logIn(world.port(), 'token-of-lou');
    const headers = { cookie, 'x-tiergate-csrf': csrf };
    expect(await ask(world.port(), { path: '/api/live', headers })).toMatchObject({ status: 200 });
    const before = world.handled.length;
    expect(await ask(world.port(), { ...reset, headers })).toMatchObject({
      status: 403,
      reason: 'console_forbidden',
    });
    expect(world.handled.length).toBe(before);
  });

  it.each([undefined, '', 'guessed'])('changes nothing with the CSRF token %j', async (sent) => {
    const { cookie } = await logIn(world.port(), 'token-of-ada');
    const before = world.handled.length;
    const headers = { cookie, ...(sent !== undefined && { 'x-tiergate-csrf': sent }) };
    for (const each of [reset, { method: 'DELETE', path: '/api/session' }]) {
      expect(await ask(world.port(), { ...each, headers })).toMatchObject({
        status: 403,
        reason: 'csrf_missing',
      });
    }
    expect(world.handled.length).toBe(before);
  });

  it('changes nothing with the CSRF token of another session', async () => {
    const { cookie } = await logIn(world.port(), 'token-of-ada');
    const { csrf } = await logIn(world.port(), 'token-of-lou');
    const headers = { cookie, 'x-tiergate-csrf': csrf };
    expect(await ask(world.port(), { ...reset, headers })).toMatchObject({ reason: 'csrf_missing' });
  });

  it.each([
    { origin: 'https://attacker.example' },
    { origin: 'null' },
    { origin: 'http://localhost:1' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ])('is of no use to another origin: %j', async (from) => {
    const { cookie, csrf } = await logIn(world.port(), 'token-of-ada');
    const headers = {
      host: 'localhost:9093',
      cookie,
      'x-tiergate-csrf': csrf,
      ...(from as Record<string, string>),
    };
    for (const each of [reset, { path: '/api/live' }]) {
      const answered = await ask(world.port(), { ...each, headers });
      expect(answered).toMatchObject({ status: 403, reason: 'origin_refused' });
      expect(answered.headers['access-control-allow-origin']).toBeUndefined();
    }
  });

  it('changes something with all of it', async () => {
    const { cookie, csrf } = await logIn(world.port(), 'token-of-ada');
    const headers = {
      host: 'localhost:9093',
      origin: 'http://localhost:9093',
      cookie,
      'x-tiergate-csrf': csrf,
    };
    expect(await ask(world.port(), { ...reset, headers })).toMatchObject({ status: 200 });
    expect(world.handled.at(-1)).toBe('ada@example.com /api/usage/reset');
  });

  it('ends by logging out', async () => {
    const { cookie, csrf } = await logIn(world.port(), 'token-of-ada');
    const headers = { cookie, 'x-tiergate-csrf': csrf };
    const out = await ask(world.port(), { method: 'DELETE', path: '/api/session', headers });
    expect(out).toMatchObject({ status: 204 });
    expect(String(out.headers['set-cookie'])).toContain('Max-Age=0');
    expect(await ask(world.port(), { path: '/api/live', headers })).toMatchObject({ status: 401 });
  });

  it('ends when nobody is at the page, which goes on asking', async () => {
    const { cookie } = await logIn(world.port(), 'token-of-ada');
    const look = (path: string) => ask(world.port(), { path, headers: { cookie } });
    world.pass(40_000);
    expect(await look('/api/live')).toMatchObject({ status: 200 });
    world.pass(40_000);
    expect(await look('/api/live?idle=1')).toMatchObject({ status: 200 });
    world.pass(40_000);
    expect(await look('/api/live?idle=1')).toMatchObject({ status: 401 });
  });

  it('ends in any case', async () => {
    const { cookie } = await logIn(world.port(), 'token-of-ada');
    for (let minute = 0; minute < 11; minute += 1) {
      world.pass(55_000);
      await ask(world.port(), { path: '/api/live', headers: { cookie } });
    }
    expect(await ask(world.port(), { path: '/api/live', headers: { cookie } })).toMatchObject({
      status: 401,
    });
  });

  it('is one of a few: one more ends the oldest', async () => {
    const cookies: string[] = [];
    for (let at = 0; at < 4; at += 1) cookies.push((await logIn(world.port(), 'token-of-ada')).cookie);
    const statuses: number[] = [];
    for (const cookie of cookies) {
      statuses.push((await ask(world.port(), { path: '/api/live', headers: { cookie } })).status);
    }
    expect(statuses).toEqual([401, 200, 200, 200]);
  });
});

describe('a token with the request', () => {
  it('does for a program, without a session and without a CSRF token', async () => {
    const headers = { authorization: 'Bearer token-of-ada' };
    const answered = await ask(world.port(), { ...reset, headers });
    expect(answered).toMatchObject({ status: 200 });
    expect(answered.headers['set-cookie']).toBeUndefined();
  });

  it.each(['Bearer guessed', 'Bearer access-token', 'Basic dG9rZW4tb2YtYWRh', 'Bearer'])(
    '%j does not, and is no session either',
    async (authorization) => {
      const { cookie } = await logIn(world.port(), 'token-of-ada');
      expect(
        await ask(world.port(), { path: '/api/live', headers: { authorization, cookie } }),
      ).toMatchObject({
        status: 401,
      });
    },
  );

  it('costs one review for many requests', async () => {
    const headers = { authorization: 'Bearer token-of-lou' };
    await ask(world.port(), { path: '/api/live', headers });
    const before = world.reviews();
    await Promise.all(Array.from({ length: 10 }, () => ask(world.port(), { path: '/api/live', headers })));
    expect(world.reviews()).toBe(before);
  });

  it('passes nobody while the cluster can not tell', async () => {
    world.setFault(new DependencyError('kubernetes', 'timeout'));
    const headers = { authorization: 'Bearer never-seen' };
    expect(await ask(world.port(), { path: '/api/live', headers })).toMatchObject({
      status: 503,
      reason: 'unavailable',
    });
    const login = { method: 'POST', path: '/api/session', body: { token: 'not-seen-either' } };
    expect(await ask(world.port(), login)).toMatchObject({ status: 503 });
    world.setFault(undefined);
    expect(world.faults).toHaveLength(2);
    expect(JSON.stringify(world.faults)).not.toContain('seen');
  });
});

describe('every answer', () => {
  it.each(['/', '/app.js', '/console.css', '/icon.svg', '/api/live', '/nothing', '/%2e%2e/package.json'])(
    '%s may run, load, frame and keep nothing but its own',
    async (path) => {
      const { headers } = await ask(world.port(), { path });
      const policy = String(headers['content-security-policy']);
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).toContain("base-uri 'none'");
      expect(policy).not.toMatch(/unsafe|https?:|\*|data:/);
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'cache-control': 'no-store',
        'referrer-policy': 'no-referrer',
      });
    },
  );

  it('is 404 for what is not there, and 405 for a method that a path does not take', async () => {
    for (const path of ['/index.html', '/tsconfig.json', '/../package.json', '//', '/api/live/', '/api']) {
      expect(await ask(world.port(), { path })).toMatchObject({ status: 404 });
    }
    expect(await ask(world.port(), { method: 'POST', path: '/' })).toMatchObject({ status: 405 });
    expect(await ask(world.port(), { method: 'PUT', path: '/api/session' })).toMatchObject({ status: 405 });
    expect(await ask(world.port(), { method: 'GET', path: '/api/usage/reset' })).toMatchObject({
      status: 405,
    });
  });

  it('names no other host, inlines no script and no style', async () => {
    for (const path of ['/', '/app.js', '/console.css', '/chart.js', '/dom.js']) {
      const { text } = await ask(world.port(), { path });
      expect(text.replaceAll('http://www.w3.org/', '')).not.toMatch(/https?:\/\//);
      expect(text).not.toMatch(/<script>|<style|style="|innerHTML|\son[a-z]+="/);
    }
  });
});

describe('guesses', () => {
  const throttled = consoleWorld({ throttleTokens: createThrottle({ perSecond: 3, what: 'this address' }) });

  it('come to an end, at the form and by header alike', async () => {
    const statuses: number[] = [];
    for (let at = 0; at < 3; at += 1) {
      const form = { method: 'POST', path: '/api/session', body: { token: `guess-${at}` } };
      statuses.push((await ask(throttled.port(), form)).status);
      statuses.push(
        (await ask(throttled.port(), { path: '/api/live', headers: { authorization: `Bearer try-${at}` } }))
          .status,
      );
    }
    expect(statuses.filter((status) => status === 401)).toHaveLength(3);
    expect(statuses.filter((status) => status === 429)).toHaveLength(3);
    expect(throttled.reviews()).toBe(3);
  });
});

describe('a route that takes bytes', () => {
  const taken: string[] = [];
  const bytesWorld = consoleWorld({
    routes: [
      {
        method: 'POST',
        path: '/api/simulate',
        right: 'look',
        maxBodyBytes: 100,
        takesBytes: true,
        async handle({ bytes, body }) {
          taken.push(bytes.toString('utf8'));
          return body;
        },
      },
    ],
  });
  const sent = (body: object) =>
    ask(bytesWorld.port(), {
      method: 'POST',
      path: '/api/simulate',
      headers: { authorization: 'Bearer token-of-lou' },
      body,
    });

  it('gets the body unparsed, whatever it is, and no longer one than it takes', async () => {
    expect(await sent([1, 2])).toMatchObject({ status: 200, body: {} });
    expect(await sent({ log: 'x'.repeat(200) })).toMatchObject({ status: 413, reason: 'body_too_large' });
    expect(taken).toEqual(['[1,2]']);
  });
});
