import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, logIn } from '../console/console-world.ts';
import { type ProgramProcess, runProgram, startProgram } from './program-process.ts';

/** The console of a whole program: the authorizer of a sandbox. */
describe('the console of a sandbox', () => {
  let sandbox: ProgramProcess;
  let url: string;
  let port: number;
  let folder: string;
  let tokenFile: string;

  beforeAll(async () => {
    const any = ['gateway', 'grpc', 'http', 'console'].flatMap((name) => [`--${name}-port`, '0']);
    sandbox = startProgram(['sandbox', '--no-envoy', ...any]);
    await sandbox.said('Ctrl-C ends it.');
    url = /^ {2}console +(\S+)/m.exec(sandbox.out())?.[1] ?? '';
    port = Number(new URL(url).port);
    folder = mkdtempSync(join(tmpdir(), 'tiergate-console-'));
    tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'sandbox-admin', { mode: 0o600 });
  });

  afterAll(async () => {
    sandbox.signal('SIGKILL');
    await sandbox.ended;
    rmSync(folder, { recursive: true, force: true });
  });

  const bearer = { authorization: 'Bearer sandbox-admin' };
  /** Where many requests follow each other: those that bring a token are throttled. */
  async function session(): Promise<Readonly<Record<string, string>>> {
    const { cookie, csrf } = await logIn(port, 'sandbox-admin');
    return { cookie, 'x-tiergate-csrf': csrf };
  }
  const reset = { kind: 'user', name: 'bob@example.com', reason: 'a test' };

  it('lets in whom RBAC lets in', async () => {
    expect((await logIn(port, 'sandbox-admin')).csrf).toHaveLength(43);
    const login = (token: string) => ask(port, { method: 'POST', path: '/api/session', body: { token } });
    expect(await login('sandbox-alice')).toMatchObject({ status: 403, reason: 'console_forbidden' });
    expect(await login('sandbox-eve')).toMatchObject({ status: 401, reason: 'token_rejected' });
  });

  it('tells how everything stands', async () => {
    const { body } = await ask(port, { path: '/api/live', headers: bearer });
    expect(body).toMatchObject({
      report: { status: 'ready', parts: { policy: { state: 'ready' }, redis: { state: 'ready' } } },
      tiers: [{ name: 'enterprise' }, { name: 'premium' }, { name: 'free' }],
      figures: { tiergate_policy_generation: [{ value: 1 }] },
    });
    const policy = await ask(port, { path: '/api/policy', headers: bearer });
    expect(policy.body).toMatchObject({ source: 'what this program brings along', warnings: [] });
  });

  it('explains, also to the command', async () => {
    const question = { user: 'bob@example.com', path: '/llm/qwen-large/v1/chat/completions' };
    const answered = await ask(port, {
      method: 'POST',
      path: '/api/explain',
      headers: bearer,
      body: question,
    });
    expect(answered).toMatchObject({
      status: 200,
      body: { verdict: 'denied', status: 403, reason: 'model_forbidden', tier: 'free' },
    });
    const wrong = await ask(port, {
      method: 'POST',
      path: '/api/explain',
      headers: bearer,
      body: { pth: '/' },
    });
    expect(wrong).toMatchObject({ status: 400, reason: 'request_invalid' });
    const who = ['--user', question.user, '--authorizer', url, '--token-file', tokenFile];
    const { code, out, err } = await runProgram(['explain', question.path, ...who]);
    expect({ code, err }).toEqual({ code: 1, err: '' });
    expect(out).toContain('model_forbidden');
  });

  describe('is asked by the command', () => {
    const bob = ['--user', 'bob@example.com', '/llm/llama/v1/chat/completions'];
    const explain = (...args: readonly string[]) => runProgram(['explain', ...bob, ...args]);
    const urlOf = (part: string) =>
      new RegExp(`^ {2}${part} +(?:http://)?(\\S+)`, 'm').exec(sandbox.out())?.[1] ?? '';

    it('about what a body asks for', async () => {
      const there = ['--authorizer', url, '--token-file', tokenFile];
      const file = join(folder, 'body.json');
      writeFileSync(file, JSON.stringify({ model: 'llama', prompt: 'a'.repeat(400), max_tokens: 50 }));
      const [little, much, read] = await Promise.all([
        explain(...there, '--max-tokens', '10'),
        explain(...there, '--max-tokens', '10001'),
        explain(...there, '--body', file),
      ]);
      expect(little).toMatchObject({ code: 0, err: '' });
      expect(much).toMatchObject({ code: 1, err: '' });
      expect(much.out).toContain('Ask for at most 10000 (max_tokens)');
      expect(much.out).toContain('10000 of 10000 tokens in 2m left, too few for the 10001 that it takes');
      expect(read.out).toMatch(/It reserves 1\d\d tokens: 1\d\d for the prompt .*, 50 for the answer/);
      expect(await explain(...there, '--body', file, '--max-tokens', '1')).toMatchObject({ code: 64 });
      expect(await explain(...there, '--body', join(folder, 'none'))).toMatchObject({ code: 64 });
    });

    it('and says what is no denial by another code than that of one', async () => {
      const alice = join(folder, 'alice');
      writeFileSync(alice, 'sandbox-alice', { mode: 0o600 });
      expect(await explain('--authorizer', url, '--token-file', alice)).toMatchObject({ code: 77 });
      for (const part of ['gateway', 'authorizer']) {
        const door = await explain('--authorizer', `http://${urlOf(part)}`, '--token-file', tokenFile);
        expect([part, door]).toMatchObject([part, { code: 69 }]);
        expect(door.err).toContain('not the console of an authorizer');
      }
      const bare = await explain('--authorizer', url, '--kubeconfig', join(folder, 'none'));
      expect(bare).toMatchObject({ code: 78 });
      expect(bare.err).toContain('--token-file FILE, --kubeconfig FILE');
    });
  });

  it('simulates beside what it answers, and refuses what takes too much', async () => {
    const policy = '- {name: free, groups: [a], limits: {requests: [{limit: 5, window: 2m}]}}';
    const headers = await session();
    const simulate = (body: object) => ask(port, { method: 'POST', path: '/api/simulate', headers, body });
    const load = 'tier=free users=10 rate=5/1m for=10m';
    expect(await simulate({ policy, load })).toMatchObject({
      status: 200,
      body: { byTier: [{ name: 'free' }] },
    });
    expect(await simulate({ policy: 'nonsense: [', load })).toMatchObject({ status: 400 });
    expect(await simulate({ policy, load: 'rate=many' })).toMatchObject({ status: 400 });
    expect(await simulate({ policy, load, log: '' })).toMatchObject({
      status: 400,
      reason: 'request_invalid',
    });
    expect(await simulate({ policy, load: 'tier=free users=100000 rate=100/1s for=30d' })).toMatchObject({
      status: 400,
    });
    for (const wrong of [{}, [], { policy, log: 1 }]) {
      expect(await simulate(wrong)).toMatchObject({ status: 400, reason: 'request_invalid' });
    }
    const [first, second] = await Promise.all([
      simulate({ policy, load: 'tier=free users=1000 rate=5/1m for=10m' }),
      simulate({ policy, load }),
    ]);
    expect([first.status, second.status].toSorted((a, b) => a - b)).toEqual([200, 429]);
  });

  it('boosts and resets with an audit record each, and says what is wrong with a wish', async () => {
    const headers = await session();
    const change = (path: string, body: object) =>
      ask(port, { method: 'POST', path: `/api/usage/${path}`, headers, body });
    const boost = { ...reset, percent: 200, duration: '1h' };
    expect(await change('boost', boost)).toMatchObject({ status: 200, body: { percent: 200 } });
    expect(await change('end-boost', reset)).toMatchObject({ status: 200 });
    expect(await change('reset', reset)).toMatchObject({ status: 200 });
    for (const wrong of [
      { ...boost, percent: 99 },
      { ...boost, percent: '200' },
      { ...boost, duration: '1' },
      { ...boost, duration: '32d' },
      { ...boost, reason: ' ' },
      { ...boost, kind: 'everybody' },
      { ...boost, name: '' },
    ]) {
      expect(await change('boost', wrong)).toMatchObject({ status: 400, reason: 'request_invalid' });
    }
    const records = sandbox
      .out()
      .split('\n')
      .filter((line) => line.includes('"token_audit"'))
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
    expect(records.map(({ action, outcome }) => [action, outcome]).slice(0, 3)).toEqual([
      ['boost', 'done'],
      ['end_boost', 'done'],
      ['reset', 'done'],
    ]);
    expect(records[0]).toMatchObject({ actor: 'admin@example.com', user: 'bob@example.com', why: 'a test' });
  });

  it('is done without where its port is taken', async () => {
    const others = ['gateway', 'grpc', 'http'].flatMap((name) => [`--${name}-port`, '0']);
    const second = startProgram(['sandbox', '--no-envoy', ...others, '--console-port', String(port)]);
    await second.said('Ctrl-C ends it.');
    expect(second.out()).toContain(
      `note        the console is not there: port ${port} is taken; --console-port chooses another`,
    );
    expect(second.out()).not.toMatch(/^ {2}console /m);
    second.signal('SIGTERM');
    expect(await second.ended).toMatchObject({ code: 0 });
  });

  it('writes no token into the log', () => {
    const log = sandbox.out().slice(sandbox.out().indexOf('Ctrl-C'));
    expect(log).not.toMatch(/sandbox-(admin|alice|eve)/);
  });
});
