import { connect } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createMemoryConsume } from '../../src/check/memory-consume.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import type { KubernetesApi } from '../../src/sandbox/kubernetes-api/server.ts';
import { createTestKubernetesApi } from '../support/test-kubernetes-api.ts';
import {
  ask,
  createTierNamespace,
  instance,
  type IssuerWorld,
  type Json,
  startIssuer,
  testPolicy,
  textOf,
} from '../issue/issuer-world.ts';

const adminToken = 'admin-token';
const users = [
  { token: adminToken, username: 'admin', groups: ['system:masters'] },
  { token: 'alice-token', username: 'alice', groups: ['tier-premium-users'] },
  { token: 'bob-token', username: 'bob' },
  { token: 'nobody-token', username: 'nobody' },
];

const alice = 'alice-token';

describe('the token API over HTTP', () => {
  let kube: KubernetesApi;
  let url: string;
  let issuer: IssuerWorld;
  const consume = createMemoryConsume({ now: Date.now });

  beforeAll(async () => {
    kube = createTestKubernetesApi({ users });
    ({ url } = await kube.start());
    for (const tier of ['free', 'premium', 'enterprise'])
      await createTierNamespace({ url, adminToken }, tier);
    grant('llm', 'llama', 'free');
    grant('llm', 'llama', 'premium');
    grant('llm', 'qwen-large', 'premium');
    const model = { namespace: 'llm', createdAtMs: 1_767_000_000_000, ready: true };
    issuer = await startIssuer({ url }, adminToken, {
      api: { consume },
      models: [
        { ...model, objectName: 'qwen-large', id: 'Qwen/Qwen3', ready: false },
        { ...model, objectName: 'llama', id: 'llama', url: 'https://m.example/llm/llama', useCase: 'chat' },
      ],
    });
  });

  afterAll(async () => {
    await issuer.close();
    await kube.stop();
  });

  /** As the controller of MaaS grants a model to a tier. */
  function grant(namespace: string, model: string, tier: string): void {
    const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1' };
    kube.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    kube.apply({
      ...rbac,
      kind: 'Role',
      metadata: { name: model, namespace },
      rules: [
        {
          apiGroups: ['serving.kserve.io'],
          resources: ['llminferenceservices'],
          resourceNames: [model],
          verbs: ['post'],
        },
      ],
    });
    kube.apply({
      ...rbac,
      kind: 'RoleBinding',
      metadata: { name: `${model}-${tier}`, namespace },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: model },
      subjects: [
        {
          apiGroup: 'rbac.authorization.k8s.io',
          kind: 'Group',
          name: `system:serviceaccounts:${instance}-tier-${tier}`,
        },
      ],
    });
  }

  describe('credentials', () => {
    it('asks for one where none was sent, without an error code', async () => {
      const { status, headers, body } = await ask(issuer, { path: '/v1/whoami' });
      expect(status).toBe(401);
      expect(headers.get('www-authenticate')).toBe('Bearer realm="tiergate"');
      expect(headers.get('x-tiergate-reason')).toBe('credential_missing');
      expect(body['error']).toMatchObject({ type: 'authentication_error', code: 'invalid_api_key' });
    });

    it('refuses one that the cluster does not know', async () => {
      const { status, headers, body } = await ask(issuer, { token: 'garbage', path: '/v1/whoami' });
      expect(status).toBe(401);
      expect(headers.get('www-authenticate')).toContain('error="invalid_token"');
      expect(body['error']).toMatchObject({ reason: 'token_rejected' });
    });

    it('refuses two at once, of which a server behind might read the other', async () => {
      const answer = await rawRequest(
        issuer,
        `GET /v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${alice}\r\nAuthorization: Bearer bob-token\r\nConnection: close\r\n\r\n`,
      );
      expect(answer).toContain('HTTP/1.1 401');
      expect(answer).toContain('credential_malformed');
    });

    it('believes no identity header', async () => {
      const headers = {
        'x-maas-username': 'admin',
        'x-maas-group': '["system:masters"]',
        'x-tiergate-user': 'admin',
        'x-tiergate-tier': 'enterprise',
        'x-remote-user': 'admin',
        'impersonate-user': 'admin',
      };
      const plain = await ask(issuer, { token: alice, path: '/v1/whoami' });
      const forged = await ask(issuer, { token: alice, path: '/v1/whoami', headers });
      expect(forged.body).toEqual(plain.body);
      const minted = await ask(issuer, { token: alice, method: 'POST', path: '/v1/tokens', headers });
      expect(minted.body['tier']).toBe('premium');
      expect(await ask(issuer, { path: '/v1/whoami', headers })).toMatchObject({ status: 401 });
    });
  });

  describe('bodies', () => {
    const mint = (body: unknown, headers: Readonly<Record<string, string>> = {}) =>
      ask(issuer, { token: 'bob-token', method: 'POST', path: '/v1/tokens', body, headers });

    it.each([
      ['none', undefined, {}],
      ['an empty one', '', { 'content-type': 'application/json' }],
      ['null', 'null', { 'content-type': 'application/json' }],
      ['an empty object', '{}', { 'content-type': 'application/json' }],
      [
        'JSON under the type that curl puts there',
        '{}',
        { 'content-type': 'application/x-www-form-urlencoded' },
      ],
    ])('%s asks for the defaults', async (_what, body, headers) => {
      expect(await mint(body, headers)).toMatchObject({ status: 201, body: { expiration: '4h0m0s' } });
    });

    it.each([
      ['{"expiry": "1h"}', 'expiry', /Unknown field "expiry"/],
      ['{"expiration": "1h", "tier": "enterprise"}', 'tier', /Unknown field "tier"/],
      ['{"name": 7}', 'name', /must be string/],
      [JSON.stringify({ name: 'x'.repeat(129) }), 'name', /128/],
      [JSON.stringify({ name: 'a\u0007b' }), 'name', /characters/],
      [JSON.stringify({ description: 'x'.repeat(1025) }), 'description', /1024/],
      ['[]', 'body', /must be object/],
      ['"1h"', 'body', /must be object/],
      ['{', 'body', /JSON/],
      ['expiration=1h', 'body', /JSON/],
      ['{"__proto__": {"expiration": "1h"}}', 'body', /JSON/],
    ])('%s is refused by the name of %s', async (body, param, words) => {
      const { status, body: answer } = await mint(body, { 'content-type': 'application/json' });
      expect(status).toBe(400);
      expect(answer['error']).toMatchObject({
        param,
        code: 'request_invalid',
        type: 'invalid_request_error',
      });
      expect(answer['error']?.['message']).toMatch(words);
    });

    it('of a mebibyte are read, of one byte more are not', async () => {
      const fits = `{"name":"x"${' '.repeat(1024 * 1024 - 12)}}`;
      expect(fits).toHaveLength(1024 * 1024);
      expect(await mint(fits)).toMatchObject({ status: 201 });
      const { status, body } = await mint(`${fits} `);
      expect(status).toBe(413);
      expect(body['error']).toMatchObject({ reason: 'body_too_large', code: 'body_too_large' });
    });

    it('of somebody unknown are not waited for', async () => {
      const answer = await rawRequest(
        issuer,
        'POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n{',
      );
      expect(answer).toContain('HTTP/1.1 401');
    });
  });

  describe('what is no request', () => {
    it.each([
      ['a head that never ends', 'POST /v1/tokens HTTP/1.1\r\nHost: x\r\n', '408'],
      [
        'a body that never ends',
        `POST /v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${alice}\r\nContent-Length: 9\r\n\r\n{`,
        '408',
      ],
      ['bytes of another protocol', '\u0016\u0003\u0001\r\n\r\n', '400'],
      ['a head without bounds', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, '431'],
      [
        'a body that may end in two places',
        'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        '400',
      ],
    ])('%s is answered, in the same shape, and ended', async (_what, bytes, status) => {
      const other = await startIssuer({ url }, adminToken, { server: { requestTimeoutMs: 500 } });
      const answer = await rawRequest(other, bytes);
      expect(answer).toContain(`HTTP/1.1 ${status} `);
      expect(answer).toContain('"reason":"request_invalid"');
      await other.close();
    });
  });

  describe('paths', () => {
    it.each(['/v1/whoami', '/maas-api/v1/whoami'])('%s is served', async (path) => {
      expect(await ask(issuer, { token: alice, path })).toMatchObject({ status: 200 });
    });

    it.each([
      ['GET', '/'],
      ['GET', '/maas-api'],
      ['GET', '/maas-apis/v1/whoami'],
      ['GET', '/maas-api/maas-api/v1/whoami'],
      ['GET', '/v2/whoami'],
      ['GET', '/v1/tokens/%'],
    ])('%s %s is not there', async (method, path) => {
      const { status, body } = await ask(issuer, { token: alice, method, path });
      expect([400, 404]).toContain(status);
      expect(body['error']).toMatchObject({ type: 'invalid_request_error' });
    });

    it.each([
      ['PUT', '/v1/tokens', 'POST, GET, HEAD, DELETE'],
      ['GET', '/v1/tokens/x', 'DELETE'],
      ['DELETE', '/maas-api/v1/models', 'GET, HEAD'],
      ['OPTIONS', '/v1/whoami', 'GET, HEAD'],
    ])('%s %s is not for this path, which takes %s', async (method, path, allow) => {
      const { status, headers, body } = await ask(issuer, { token: alice, method, path });
      expect({ status, allow: headers.get('allow') }).toEqual({ status: 405, allow });
      expect(body['error']).toMatchObject({ code: 'method_not_allowed', reason: 'path_invalid' });
    });

    it('an unknown parameter is refused by name', async () => {
      const { status, body } = await ask(issuer, { token: alice, path: '/v1/tokens?users=bob' });
      expect({ status, param: body['error']?.['param'] }).toEqual({ status: 400, param: 'users' });
    });

    it('says that it runs to anybody', async () => {
      for (const path of ['/health', '/maas-api/health']) {
        expect(await ask(issuer, { path })).toMatchObject({ status: 200, body: { status: 'healthy' } });
      }
    });

    it('gives each request an id, the one that was sent where it is fit for a log', async () => {
      const sent = await ask(issuer, { path: '/health', headers: { 'x-request-id': 'abc-1' } });
      expect(sent.headers.get('x-request-id')).toBe('abc-1');
      const unfit = await ask(issuer, { path: '/health', headers: { 'x-request-id': 'a "b" {c}' } });
      expect(unfit.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    });
  });

  describe('the description', () => {
    it('is OpenAPI 3.1 made of the schemas that requests are checked by', async () => {
      const { body } = await ask(issuer, { path: '/openapi.json' });
      expect(body['openapi']).toBe('3.1.0');
      expect(Object.keys(body['paths'] ?? {}).sort()).toEqual([
        '/health',
        '/v1/models',
        '/v1/tiers/lookup',
        '/v1/tokens',
        '/v1/tokens/{id}',
        '/v1/usage',
        '/v1/usage/boost',
        '/v1/usage/reset',
        '/v1/whoami',
      ]);
      const post = body['paths']?.['/v1/tokens']?.['post'];
      const schema = post?.['requestBody']?.['content']?.['application/json']?.['schema'];
      expect(schema).toMatchObject({
        type: 'object',
        additionalProperties: false,
        properties: { expiration: { type: ['string', 'number', 'null'] } },
      });
      expect(post?.['security']).toEqual([{ bearer: [] }]);
      expect(post?.['requestBody']).toMatchObject({ required: false });
    });

    it('is a page that runs no script', async () => {
      const { headers, body } = await ask(issuer, { path: '/docs' });
      expect(headers.get('content-type')).toContain('text/html');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(body['text']).toContain('POST /v1/tokens');
      expect(body['text']).toContain('expiresAt');
      expect(body['text']).not.toContain('<script');
    });
  });

  describe('models', () => {
    it('are those that the tier may use, in the shape that clients know', async () => {
      const { body } = await ask(issuer, { token: alice, path: '/v1/models' });
      expect(body).toEqual({
        object: 'list',
        data: [
          {
            id: 'llama',
            created: 1_767_000_000,
            object: 'model',
            owned_by: 'llm',
            url: 'https://m.example/llm/llama',
            ready: true,
            modelDetails: { genaiUseCase: 'chat' },
          },
          { id: 'Qwen/Qwen3', created: 1_767_000_000, object: 'model', owned_by: 'llm', ready: false },
        ],
      });
      const { body: forBob } = await ask(issuer, { token: 'bob-token', path: '/maas-api/v1/models' });
      expect((forBob['data'] as unknown as { id: string }[]).map(({ id }) => id)).toEqual(['llama']);
    });

    it('cost the API server no more than the budget of reviews', async () => {
      const models = Array.from({ length: 40 }, (_, index) => ({
        namespace: 'llm',
        objectName: `model-${index}`,
        id: `model-${index}`,
        createdAtMs: 0,
        ready: true,
      }));
      const reviews = { concurrency: 2, perSecond: 10, queue: 100, timeoutMs: 100 };
      const other = await startIssuer({ url }, adminToken, { models, api: { reviews } });
      const before = kube.requestCount('subjectaccessreviews');
      const { status, headers } = await ask(other, { token: alice, path: '/v1/models' });
      expect(status).toBe(503);
      expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
      expect(kube.requestCount('subjectaccessreviews') - before).toBeLessThan(15);
      await other.close();
    });

    it('are the same for an access token, and cost no quota', async () => {
      const minted = await ask(issuer, { token: 'bob-token', method: 'POST', path: '/v1/tokens' });
      const token = minted.body['token'];
      for (let count = 0; count < 6; count += 1) {
        const { status, body } = await ask(issuer, { token, path: '/v1/models' });
        expect({ status, count: body['data']?.['length'] }).toEqual({ status: 200, count: 1 });
      }
      const { body } = await ask(issuer, { token, path: '/v1/usage' });
      expect(body['windows']).toMatchObject([{ used: 0, remaining: 5 }]);
    });
  });

  describe('usage', () => {
    it('reads the counters that the gateway charges, and charges nothing', async () => {
      const tier = testPolicy().tiers.find(({ name }) => name === 'premium');
      const charges = (tier?.windows ?? []).map((window) => ({ window, cost: 3 }));
      consume({ subject: 'alice', id: '', charges, deadlineAtMs: Date.now() + 1000 });
      for (let count = 0; count < 3; count += 1) {
        const { body } = await ask(issuer, { token: alice, path: '/v1/usage' });
        expect(body).toMatchObject({
          user: 'alice',
          tier: 'premium',
          unlimited: false,
          windows: [{ scope: '*', unit: 'requests', window: '2m', limit: 20, used: 3, remaining: 17 }],
        });
        expect(body['windows']?.[0]?.['resetAfterSeconds']).toBeGreaterThan(0);
      }
    });

    it('stays used through revoking and minting again', async () => {
      const mint = () => ask(issuer, { token: alice, method: 'POST', path: '/v1/tokens' });
      const { body: before } = await mint();
      const used = async (token: Json | undefined) =>
        (await ask(issuer, { token, path: '/v1/usage' })).body['windows']?.[0]?.['used'];
      expect(await used(before['token'])).toBe(3);
      expect(await ask(issuer, { token: alice, method: 'DELETE', path: '/v1/tokens' })).toMatchObject({
        status: 204,
      });
      const { body: after } = await mint();
      expect(await used(after['token'])).toBe(3);
    });
  });

  it('says 503 with Retry-After where counters or cluster can not be asked', async () => {
    const away = () => {
      throw new DependencyError('redis', 'unreachable', { retryAfterMs: 3_000, detail: 'ECONNREFUSED' });
    };
    const other = await startIssuer({ url }, adminToken, { api: { consume: away, listServedModels: away } });
    const usage = await ask(other, { token: alice, path: '/v1/usage' });
    expect(usage).toMatchObject({ status: 503, body: { error: { reason: 'limit_unavailable' } } });
    expect(usage.headers.get('retry-after')).toBe('3');
    expect(JSON.stringify(usage.body)).not.toContain('ECONNREFUSED');
    const lift = kube.fail({ resource: '*', mode: 'status', code: 500 });
    const unknown = await ask(other, { token: 'bob-token', path: '/v1/whoami' });
    lift();
    expect(unknown).toMatchObject({ status: 503, body: { error: { reason: 'identity_unavailable' } } });
    expect(unknown.headers.get('retry-after')).toBe('2');
    expect(other.faults).toHaveLength(2);
    await other.close();
  });

  it('tells the tier of groups, and that there is none', async () => {
    const lookup = (body: unknown) =>
      ask(issuer, { token: alice, method: 'POST', path: '/v1/tiers/lookup', body });
    expect(await lookup({ groups: ['x', 'tier-enterprise-users'] })).toMatchObject({
      status: 200,
      body: { tier: 'enterprise', displayName: 'enterprise' },
    });
    expect(await lookup({ groups: ['x'] })).toMatchObject({
      status: 404,
      body: { error: { code: 'not_found', reason: 'no_tier', param: 'groups' } },
    });
    expect(await lookup({ groups: [] })).toMatchObject({ status: 400, body: { error: { param: 'groups' } } });
    expect(await lookup({})).toMatchObject({ status: 400, body: { error: { param: 'groups' } } });
    expect(await lookup({ groups: ['x', 7] })).toMatchObject({
      status: 400,
      body: { error: { param: 'groups.1' } },
    });
  });

  it('tells a caller of no tier who they are', async () => {
    const policy = testPolicy('[{name: gold, level: 1, groups: [gold], limits: unlimited}]');
    const other = await startIssuer({ url }, adminToken, { api: { policy: () => policy } });
    expect(await ask(other, { token: 'nobody-token', path: '/v1/whoami' })).toMatchObject({
      status: 200,
      body: { username: 'nobody', tier: null },
    });
    expect(await ask(other, { token: 'nobody-token', path: '/v1/models' })).toMatchObject({
      status: 403,
      body: { error: { reason: 'no_tier', type: 'permission_error' } },
    });
    await other.close();
  });

  it('writes down who did what for whom, how it ended, and never a token', async () => {
    const before = issuer.audits.length;
    const minted = await ask(issuer, {
      token: alice,
      method: 'POST',
      path: '/v1/tokens',
      headers: { 'x-request-id': 'audit-1' },
    });
    await ask(issuer, { token: alice, method: 'POST', path: '/v1/tokens', body: { expiration: '1s' } });
    await ask(issuer, {
      token: alice,
      method: 'DELETE',
      path: `/v1/tokens/${textOf(minted.body['id'])}?user=bob`,
    });
    await ask(issuer, { token: adminToken, method: 'DELETE', path: '/v1/tokens?user=alice' });
    const records = issuer.audits.slice(before);
    const { id, expiresAt } = minted.body;
    expect(records).toMatchObject([
      {
        action: 'mint',
        actor: 'alice',
        user: 'alice',
        tier: 'premium',
        tokenIds: [id],
        outcome: 'done',
        source: '127.0.0.1',
        requestId: 'audit-1',
      },
      { action: 'mint', actor: 'alice', tokenIds: [], outcome: 'request_invalid' },
      { action: 'revoke', actor: 'alice', user: 'bob', tokenIds: [id], outcome: 'mint_forbidden' },
      { action: 'revoke_all', actor: 'admin', user: 'alice', outcome: 'done' },
    ]);
    expect(records[0]?.expiresAtMs).toBe(Number(expiresAt) * 1000);
    expect(records[3]?.tokenIds).toContain(id);
    const written = JSON.stringify(issuer.audits);
    for (const secret of [minted.body['token'], alice, adminToken]) expect(written).not.toContain(secret);
  });
});

/** Bytes as they are, for what no client would send. */
function rawRequest({ url }: { readonly url: string }, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').setTimeout(5_000, () => socket.destroy(new Error('no answer within 5 s')));
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
    socket.write(bytes);
  });
}
