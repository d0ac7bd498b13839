import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import { usage } from '../../src/programs/usage.ts';
import { createKubernetesApi, type KubernetesApi } from '../../src/sandbox/kubernetes-api/server.ts';
import { modelSubject, teamSubject } from '../../src/check/charges.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import {
  ask,
  createTierNamespace,
  type IssuerWorld,
  startIssuer,
  testPolicy,
} from '../issue/issuer-world.ts';

const adminToken = 'admin-token';

const policy = testPolicy(`
tiers:
- name: premium
  groups: [tier-premium-users]
  limits:
    requests: [{limit: 20, window: 2m}]
    models: {"llm/big-*": {requests: [{limit: 4, window: 1m}], tokens: [{limit: 900, window: 1h}]}}
    shared: {by: "group:team-*", requests: [{limit: 50, window: 1d}]}
capacity:
  "llm/*": {requests: [{limit: 100, window: 1m}]}
`);

const own: WindowLimit = { scope: '*', unit: 'requests', windowMs: 120_000, limit: 20, mode: 'enforce' };
const shared: WindowLimit = { ...own, scope: 'team', windowMs: 86_400_000, limit: 50 };
const capacity: WindowLimit = { ...own, scope: 'capacity', windowMs: 60_000, limit: 100 };

describe('tiergate usage', () => {
  const counters = createMemoryCounters({ now: Date.now });
  let kube: KubernetesApi;
  let issuer: IssuerWorld;
  let kubeUrl: string;

  beforeAll(async () => {
    kube = createKubernetesApi({
      users: [
        { token: adminToken, username: 'admin', groups: ['system:masters'] },
        { token: 'alice-token', username: 'alice', groups: ['tier-premium-users', 'team-a', 'other'] },
        { token: 'eve-token', username: 'eve', groups: ['tier-premium-users'] },
      ],
    });
    const { url } = await kube.start();
    kubeUrl = url;
    await createTierNamespace({ url, adminToken }, 'premium');
    kube.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'tiergate' } });
    issuer = await startIssuer({ url }, adminToken, { api: { ...counters, policy: () => policy } });
  });

  afterAll(async () => {
    await issuer.close();
    await kube.stop();
  });

  const charge = (subject: string, window: WindowLimit, cost: number) =>
    counters.consume({ subject, id: '', charges: [{ window, cost }], deadlineAtMs: Date.now() + 1000 });
  const left = (subject: string, window: WindowLimit) => charge(subject, window, 0).windows[0]?.remaining;

  async function run(args: readonly string[], clusterToken = adminToken) {
    const out: string[] = [];
    const err: string[] = [];
    const code = await usage(['--url', issuer.url, '--token-file', '-', ...args], {
      out: (line) => void out.push(line),
      err: (line) => void err.push(line),
      readInput: async () => `${clusterToken}\n`,
      env: {},
    });
    return { code, out: out.join('\n'), err: err.join('\n') };
  }

  it('shows every window of the caller: for all models, for some, and the team\u2019s', async () => {
    charge('alice', own, 3);
    charge(teamSubject('team-a'), shared, 7);
    charge('alice', { ...own, scope: 'llm/big-*', unit: 'tokens', windowMs: 3_600_000, limit: 900 }, 400);
    const { code, out } = await run([], 'alice-token');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      user: 'alice',
      tier: 'premium',
      windows: [
        { scope: '*', limit: 20, used: 3 },
        { scope: 'llm/big-*', limit: 4, used: 0 },
        { scope: 'llm/big-*', unit: 'tokens', window: '1h', limit: 900, used: 400, remaining: 500 },
        { scope: 'team', limit: 50, used: 7 },
      ],
    });
  });

  it('shows the same with an access token, whose team is that of the mint', async () => {
    const minted = await ask(issuer, { token: 'alice-token', method: 'POST', path: '/v1/tokens' });
    const [account] = await listAccounts();
    expect(account?.metadata.annotations).toEqual({
      'tiergate.dev/user': 'alice',
      'tiergate.dev/groups': '["team-a"]',
    });
    const { body } = await ask(issuer, { token: minted.body['token'], path: '/v1/usage' });
    expect(body['windows']?.[3]).toMatchObject({ scope: 'team', used: 7 });
  });

  async function listAccounts() {
    const answer = await fetch(
      `${kubeUrl}/api/v1/namespaces/maas-default-gateway-tier-premium/serviceaccounts`,
      {
        headers: { authorization: `Bearer ${adminToken}` },
      },
    );
    const { items } = (await answer.json()) as {
      readonly items: readonly { readonly metadata: { readonly annotations?: object } }[];
    };
    return items.filter(({ metadata }) => metadata.annotations !== undefined);
  }

  it('boosts a user until the end, which /v1/usage shows and an audit record keeps', async () => {
    const boosted = await run(['boost', 'alice', '--percent', '150', '--for', '2h', '--reason', 'a demo']);
    expect(boosted).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^alice: 150 % of each limit until 2/),
    });
    const { body } = await ask(issuer, { token: 'alice-token', path: '/v1/usage' });
    expect(body).toMatchObject({
      boost: { percent: 150, endsAfterSeconds: expect.any(Number) },
      windows: [{ limit: 30, used: 3 }, { limit: 6 }, { limit: 1350 }, { scope: 'team', limit: 50 }],
    });
    expect(issuer.audits.at(-1)).toMatchObject({
      action: 'boost',
      actor: 'admin',
      user: 'alice',
      percent: 150,
      why: 'a demo',
      outcome: 'done',
    });
    expect(await run(['boost', 'alice', '--end'])).toMatchObject({ code: 0 });
    expect((await ask(issuer, { token: 'alice-token', path: '/v1/usage' })).body['boost']).toBeUndefined();
  });

  it('resets a user, a team or a model, each alone', async () => {
    charge(modelSubject('llm/llama'), capacity, 9);
    expect(await run(['reset', 'alice', '--reason', 'an outage'])).toMatchObject({ code: 0 });
    expect([left('alice', own), left(teamSubject('team-a'), shared)]).toEqual([20, 43]);
    expect(await run(['reset', 'team-a', '--group', '--reason', 'an outage'])).toMatchObject({ code: 0 });
    expect([left(teamSubject('team-a'), shared), left(modelSubject('llm/llama'), capacity)]).toEqual([
      50, 91,
    ]);
    expect(await run(['reset', 'llm/llama', '--model', '--reason', 'an outage'])).toMatchObject({ code: 0 });
    expect(left(modelSubject('llm/llama'), capacity)).toBe(100);
    expect(issuer.audits.at(-1)).toMatchObject({ action: 'reset', user: 'model:llm/llama', outcome: 'done' });
  });

  it('is refused to whoever may not, which is audited too', async () => {
    charge('eve', own, 5);
    for (const args of [
      ['reset', 'eve', '--reason', 'me'],
      ['boost', 'eve', '--percent', '200', '--for', '1h', '--reason', 'me'],
      ['boost', 'eve', '--end'],
    ]) {
      expect(await run(args, 'eve-token')).toMatchObject({
        code: 1,
        err: 'refused (mint_forbidden): You may not change what others may use.',
      });
      expect(issuer.audits.at(-1)).toMatchObject({ actor: 'eve', user: 'eve', outcome: 'mint_forbidden' });
    }
    expect(left('eve', own)).toBe(15);
    const minted = await ask(issuer, { token: 'alice-token', method: 'POST', path: '/v1/tokens' });
    const answer = await ask(issuer, {
      token: minted.body['token'],
      method: 'POST',
      path: '/v1/usage/reset',
      body: { user: 'alice', reason: 'me' },
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.status).toBe(403);
  });

  it.each([
    [['--percent', '100', '--for', '1h'], 'percent must be a whole number from 101 to 100000'],
    [['--percent', '200', '--for', '1000d'], 'duration must be from 1s to 31d'],
    [['--percent', '200', '--for', '10'], '10 has no unit'],
  ])('refuses %s in words', async (args, words) => {
    const { code, err } = await run(['boost', 'alice', '--reason', 'a demo', ...args]);
    expect([code, err]).toEqual([1, expect.stringContaining(words)]);
  });

  it.each([
    [['boost']],
    [['boost', 'alice']],
    [['boost', 'alice', '--percent', '200', '--for', '1h']],
    [['reset', 'alice']],
    [['reset', 'a', 'b', '--reason', 'x']],
    [['reset', 'a', '--group', '--model', '--reason', 'x']],
    [['forget', 'alice', '--reason', 'x']],
  ])('says how it is used when asked to %s', async (args) => {
    expect(await run(args)).toMatchObject({
      code: 64,
      err: expect.stringContaining('usage: tiergate usage'),
    });
  });
});
