import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Envoy } from '../real/envoy.ts';
import { type Installation, startInstallation } from './installation.ts';
import { type Answered, chat, denial, outcome } from './send.ts';

let installation: Installation;
let gateways: readonly Envoy[];

const policy = `
tiers:
- {name: free, groups: [system:authenticated], limits: {requests: [{limit: 5, window: 2m}]}}
- name: premium
  level: 10
  groups: [tier-premium-users]
  limits:
    requests: [{limit: 40, window: 2m}]
    models: {"llm/qwen-*": {requests: [{limit: 9, window: 1m}], weight: 3}}
    shared: {by: "group:team-*", requests: [{limit: 25, window: 1h}]}
- {name: enterprise, level: 20, groups: [], limits: {requests: [{limit: 1000, window: 2m}]}}
capacity:
  "llm/llama": {requests: [{limit: 60, window: 1h}]}
`;

beforeAll(async () => {
  installation = await startInstallation();
  const authorizers = [
    await installation.startAuthorizer({ policy }),
    await installation.startAuthorizer({ policy }),
  ];
  gateways = [];
  for (const authorizer of authorizers) gateways = [...gateways, await installation.startGateway(authorizer)];
});

afterAll(() => installation.stop());

const large = '/llm/qwen-large/v1/chat/completions';
const llama = '/llm/llama/v1/chat/completions';

/** A token of an account that was minted for a member of these groups. */
async function mintFor(user: string, groups: readonly string[], tier = 'premium'): Promise<string> {
  const admin = installation.kube.client();
  const name = `member-${randomUUID()}`;
  const path = `/api/v1/namespaces/maas-default-gateway-tier-${tier}/serviceaccounts`;
  const annotations = { 'tiergate.dev/user': user, 'tiergate.dev/groups': JSON.stringify(groups) };
  await admin.post(path, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, annotations } });
  const { body } = await admin.post(`${path}/${name}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences: ['maas-default-gateway-sa'], expirationSeconds: 3600 },
  });
  return (body as { readonly status: { readonly token: string } }).status.token;
}

/** So many requests, some at a time, through both gateways and with each token in turn. */
async function ask(count: number, tokens: readonly string[], path: string): Promise<readonly Answered[]> {
  const answers: Answered[] = [];
  const atOnce = 20;
  for (let from = 0; from < count; from += atOnce) {
    const some = Array.from({ length: Math.min(atOnce, count - from) }, (_, at) =>
      chat(gateways[at % 2]?.port ?? 0, tokens[(from + at) % tokens.length], path),
    );
    answers.push(...(await Promise.all(some)));
  }
  return answers;
}

const passed = (answers: readonly Answered[]) => answers.filter(({ status }) => status === 200).length;

describe('several counters behind a real Envoy, two authorizers and one Redis', () => {
  it('a request for a heavy model weighs what the policy says, in the tier and in its own window', async () => {
    const token = await mintFor('heavy@example.com', []);
    expect(passed(await ask(20, [token], large))).toBe(3);
    const answer = await chat(gateways[0]?.port ?? 0, token, large);
    expect(outcome(answer)).toEqual(denial(429, 'requests_exceeded'));
    expect(answer.headers['ratelimit-policy']).toBe(
      '"requests-2m";q=40;w=120, "requests-1m-llm/qwen-*";q=9;w=60',
    );
    expect(answer.headers['ratelimit']).toMatch(
      /^"requests-2m";r=31;t=\d+, "requests-1m-llm\/qwen-\*";r=0;t=\d+$/,
    );
  });

  it('a team has one counter for all its members, and never admits more', async () => {
    const tokens = [
      await mintFor('ann@example.com', ['team-a']),
      await mintFor('ben@example.com', ['team-a']),
    ];
    const answers = await ask(100, tokens, llama);
    // What one side granted is given back where the other denies: a unit too few for a moment, never one too many.
    expect(passed(answers)).toBe(25);
    const denied = answers.find(({ status }) => status === 429);
    expect(denied?.error).toMatchObject({ message: 'The limit of your team is used up for now.' });
    // Of their own 40 no more than what passed is used up: 25 between the two.
    const outsider = await mintFor('ann@example.com', []);
    const [answer] = await ask(1, [outsider], llama);
    expect(Number(answer?.headers['x-ratelimit-remaining-requests'])).toBeGreaterThanOrEqual(40 - 25 - 1);
  });

  it('a model takes so much and no more, whoever asks, and says so by a reason of its own', async () => {
    const tokens = await Promise.all(
      ['x', 'y', 'z'].map((name) => mintFor(`${name}@example.com`, [], 'enterprise')),
    );
    // 26 were taken by the test before.
    const answers = await ask(100, tokens, llama);
    expect(passed(answers)).toBe(60 - 26);
    const exceeded = answers.filter(({ status }) => status === 429);
    expect(exceeded.length).toBe(100 - 34);
    for (const answer of exceeded) expect(outcome(answer)).toEqual(denial(429, 'capacity_exceeded'));
    expect(Number(exceeded[0]?.headers['retry-after'])).toBeGreaterThan(3_000);
  });
});
