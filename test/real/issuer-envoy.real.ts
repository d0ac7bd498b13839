import OpenAI, { AuthenticationError, NotFoundError, PermissionDeniedError, RateLimitError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type GatewayWorld, startGatewayWorld } from '../issue/gateway-world.ts';
import { ask, type IssuerAnswer, type Json, textOf } from '../issue/issuer-world.ts';

const user = (name: string, ...groups: readonly string[]) => ({
  name,
  groups,
  token: `${name}-cluster-token`,
});

const users = [
  user('alice', 'tier-premium-users'),
  user('bob'),
  user('brief', 'tier-enterprise-users'),
  user('carol', 'tier-premium-users'),
  user('dave', 'tier-premium-users'),
  user('erin', 'tier-premium-users'),
];

const policy = `
- {name: free, level: 0, groups: [system:authenticated], limits: {requests: [{limit: 5, window: 2m}]}}
- {name: premium, level: 1, groups: [tier-premium-users], limits: {requests: [{limit: 500, window: 2m}]}}
- {name: enterprise, level: 2, groups: [tier-enterprise-users], limits: {requests: [{limit: 2, window: 3s}]}}
`;

/** What bounds a revocation as long as nothing is pushed: the authorizer's memory, then the API server's own. */
const identityTtlMs = 5_000;
const apiServerMemoryMs = 10_000;

describe('minted tokens through a real Envoy, a real API server and a real Redis', () => {
  let world: GatewayWorld;

  beforeAll(async () => {
    world = await startGatewayWorld({ users, policy, identityTtl: `${identityTtlMs}ms` });
  });

  afterAll(async () => {
    await world.stop();
  });

  const tokenApi = (who: string, method: string, path: string, body?: unknown): Promise<IssuerAnswer> => {
    const issuer = { url: `${world.envoy.url}/maas-api` };
    return ask(issuer, { token: `${who}-cluster-token`, method, path, body });
  };

  async function mint(who: string): Promise<Json> {
    const { status, body } = await tokenApi(who, 'POST', '/v1/tokens');
    expect(status, JSON.stringify(body)).toBe(201);
    return body;
  }

  const openai = (apiKey: string, path: string, maxRetries = 0): OpenAI =>
    new OpenAI({ apiKey, baseURL: `${world.envoy.url}${path}`, maxRetries });

  const chat = (client: OpenAI) =>
    client.chat.completions.create({ model: 'llama', messages: [{ role: 'user', content: 'Hello?' }] });

  async function statusOf(token: string): Promise<number> {
    const answer = await fetch(`${world.envoy.url}/llm/llama/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'llama', messages: [{ role: 'user', content: 'Hello?' }] }),
    });
    await answer.arrayBuffer();
    return answer.status;
  }

  describe('the openai SDK', () => {
    it('lists the models that the token may use', async () => {
      const namesFor = async (who: string): Promise<readonly string[]> => {
        const models = await openai(textOf((await mint(who))['token']), '/v1').models.list();
        return models.data.map(({ id }) => id);
      };
      expect(await namesFor('alice')).toEqual(['llama', 'qwen-large']);
      expect(await namesFor('bob')).toEqual(['llama']);
    });

    it('chats, plain and streamed', async () => {
      const client = openai(textOf((await mint('alice'))['token']), '/llm/llama/v1');
      const plain = await chat(client);
      expect(plain.choices[0]?.message.content).toBeTruthy();
      expect(plain.usage?.total_tokens).toBeGreaterThan(0);
      const stream = await client.chat.completions.create({
        model: 'llama',
        messages: [{ role: 'user', content: 'Hello?' }],
        stream: true,
      });
      let text = '';
      let chunks = 0;
      for await (const chunk of stream) {
        chunks += 1;
        text += chunk.choices[0]?.delta.content ?? '';
      }
      expect(text).toBe(plain.choices[0]?.message.content);
      expect(chunks).toBeGreaterThan(2);
    });

    it('sees 401, 403, 404 and 429 as its own classes, with our words', async () => {
      const bob = textOf((await mint('bob'))['token']);
      const garbage = await chat(openai('garbage', '/llm/llama/v1')).catch((error: unknown) => error);
      expect(garbage).toBeInstanceOf(AuthenticationError);
      expect(garbage).toMatchObject({ status: 401, code: 'invalid_api_key', type: 'authentication_error' });
      const listing = await openai('garbage', '/v1')
        .models.list()
        .catch((error: unknown) => error);
      expect(listing).toBeInstanceOf(AuthenticationError);
      const forbidden = await chat(openai(bob, '/llm/qwen-large/v1')).catch((error: unknown) => error);
      expect(forbidden).toBeInstanceOf(PermissionDeniedError);
      expect(forbidden).toMatchObject({ status: 403, code: 'model_forbidden', type: 'permission_error' });
      const nothing = await chat(openai(bob, '/v1')).catch((error: unknown) => error);
      expect(nothing).toBeInstanceOf(NotFoundError);
      let limited: unknown;
      for (let count = 0; count < 6 && limited === undefined; count += 1) {
        limited = await chat(openai(bob, '/llm/llama/v1')).then(
          () => undefined,
          (error: unknown) => error,
        );
      }
      expect(limited).toBeInstanceOf(RateLimitError);
      expect(limited).toMatchObject({ status: 429, code: 'rate_limit_exceeded', type: 'rate_limit_error' });
      expect(Number((limited as RateLimitError).headers.get('retry-after'))).toBeGreaterThan(0);
      // What is used up is told without using more.
      const { body } = await ask({ url: `${world.envoy.url}/maas-api` }, { token: bob, path: '/v1/usage' });
      expect(body['windows']).toMatchObject([{ limit: 5, used: 5, remaining: 0 }]);
      expect(await openai(bob, '/v1').models.list()).toMatchObject({ data: [{ id: 'llama' }] });
    });

    it('honours Retry-After: it waits as long as told, once, and gets through', async () => {
      const token = textOf((await mint('brief'))['token']);
      const before = world.envoy.accessLog().length;
      await chat(openai(token, '/llm/llama/v1'));
      await chat(openai(token, '/llm/llama/v1'));
      const refused = await chat(openai(token, '/llm/llama/v1')).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(RateLimitError);
      const startedAtMs = performance.now();
      await chat(openai(token, '/llm/llama/v1', 2));
      const waitedMs = performance.now() - startedAtMs;
      await expect.poll(() => statusesSince(before)).toEqual([200, 200, 429, 429, 200]);
      console.log(`openai SDK waited ${Math.round(waitedMs)} ms of a window of 3000 ms`);
      expect(waitedMs).toBeGreaterThan(1_000);
      expect(waitedMs).toBeLessThan(4_500);
    });

    const statusesSince = (index: number) =>
      world.envoy
        .accessLog()
        .slice(index)
        .filter(({ path }) => path === '/llm/llama/v1/chat/completions')
        .map(({ status }) => status);
  });

  it('refuses a revoked token within what was promised, and leaves its sibling alone', async () => {
    const doomed = await mint('carol');
    const sibling = textOf((await mint('carol'))['token']);
    const token = textOf(doomed['token']);
    expect(await statusOf(token)).toBe(200);
    expect(await statusOf(sibling)).toBe(200);
    expect(await tokenApi('carol', 'DELETE', `/v1/tokens/${textOf(doomed['id'])}`)).toMatchObject({
      status: 204,
    });
    const revokedAtMs = performance.now();
    let refusedAtMs = Number.NaN;
    const bound = identityTtlMs + apiServerMemoryMs + 2_000;
    while (Number.isNaN(refusedAtMs) && performance.now() - revokedAtMs < bound) {
      if ((await statusOf(token)) === 401) refusedAtMs = performance.now();
      else await new Promise((resolve) => setTimeout(resolve, 100));
    }
    console.log(`revoked means refused after ${Math.round(refusedAtMs - revokedAtMs)} ms`);
    expect(refusedAtMs - revokedAtMs).toBeLessThan(bound);
    expect(await statusOf(sibling)).toBe(200);
  });

  it('keeps what was used through revoking, minting again and a new tier', async () => {
    const usedOf = async (token: string): Promise<Json | undefined> => {
      const { body } = await ask({ url: `${world.envoy.url}/maas-api` }, { token, path: '/v1/usage' });
      return body['windows']?.[0]?.['used'];
    };
    // Polled: what an authorizer has leased ahead counts as used until it is returned, 100 ms after the last request.
    const first = textOf((await mint('dave'))['token']);
    for (let count = 0; count < 3; count += 1) expect(await statusOf(first)).toBe(200);
    await expect.poll(() => usedOf(first)).toBe(3);
    expect(await tokenApi('dave', 'DELETE', '/v1/tokens')).toMatchObject({ status: 204 });
    const second = textOf((await mint('dave'))['token']);
    await expect.poll(() => usedOf(second)).toBe(3);
    expect(await statusOf(second)).toBe(200);
    await expect.poll(() => usedOf(second)).toBe(4);
    await expect.poll(() => usedOf('dave-cluster-token')).toBe(4);
    // The account that another tier would have made, with the name of the same person.
    const free = '/api/v1/namespaces/maas-default-gateway-tier-free/serviceaccounts';
    const metadata = { name: 'dave-bfcdf3e6', annotations: { 'tiergate.dev/user': 'dave' } };
    await world.kube.client().post(free, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
    const request = await world.kube.client().post(`${free}/dave-bfcdf3e6/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: ['maas-default-gateway-sa'] },
    });
    const inFree = textOf((request.body as Json)['status']?.['token']);
    await expect.poll(() => usedOf(inFree)).toBe(4);
    expect(await statusOf(inFree)).toBe(200);
    // Five of five: the four of the other tier count.
    expect(await statusOf(inFree)).toBe(429);
  });

  it('goes on serving minted tokens while the issuer is down', async () => {
    const token = textOf((await mint('erin'))['token']);
    const fresh = textOf((await mint('erin'))['token']);
    expect(await statusOf(token)).toBe(200);
    await world.stopIssuer();
    expect(await tokenApi('erin', 'POST', '/v1/tokens')).toMatchObject({ status: 503 });
    expect(await statusOf(token)).toBe(200);
    // Never seen by the authorizer before.
    expect(await statusOf(fresh)).toBe(200);
    const client = openai(token, '/llm/llama/v1');
    expect((await chat(client)).choices[0]?.message.content).toBeTruthy();
  });

  it('has written down every mint and revocation, and no token anywhere', async () => {
    const records = world.logLines
      .filter((line) => line.includes('"event":"token_audit"'))
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
    const mints = records.filter(({ action, outcome }) => action === 'mint' && outcome === 'done');
    expect(mints.length).toBeGreaterThan(8);
    expect(mints[0]).toMatchObject({
      actor: expect.any(String),
      user: expect.any(String),
      tokenIds: [expect.stringMatching(/^[0-9a-f]{32}$/)],
      source: '127.0.0.1',
    });
    expect(records.filter(({ action }) => action === 'revoke')).toMatchObject([
      { actor: 'carol', user: 'carol', outcome: 'done' },
    ]);
    const log = world.logLines.join('');
    // The beginning of every signed JWT, and of every cluster token here.
    expect(log).not.toMatch(/eyJ[A-Za-z0-9_-]{20,}\.eyJ/);
    expect(log).not.toContain('-cluster-token');
  });
});
