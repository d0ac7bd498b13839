import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import {
  type ApiServer,
  ask,
  audience,
  claimsOf,
  createTierNamespace,
  instance,
  type IssuerAnswer,
  type IssuerWorld,
  type Json,
  lifetimeOf,
  startIssuer,
  testPolicy,
  textOf,
} from '../issue/issuer-world.ts';
import { createApiCaller } from '../sandbox/api-caller.ts';

/** Users that the API server must know by the token `<name>-cluster-token`, a hyphen for a colon. */
export const issueUsers = [
  { name: 'alice', groups: ['tier-premium-users'] },
  { name: 'bob', groups: [] },
  { name: 'carol', groups: ['tier-enterprise-users'] },
  { name: 'dora', groups: ['moving-group'] },
  { name: 'erin', groups: ['tier-premium-users'] },
  { name: 'fay', groups: ['tier-premium-users'] },
  { name: 'gus', groups: ['tier-premium-users'] },
  { name: 'Kube:Admin', groups: ['system:masters'] },
  ...Array.from({ length: 100 }, (_, index) => ({ name: `newcomer-${index}`, groups: [] })),
].map(({ name, groups }) => ({ name, groups, token: tokenOf(name) }));

function tokenOf(name: string): string {
  return `${name.replace(':', '-')}-cluster-token`;
}

/** The cluster's own maximum, `--service-account-max-token-expiration`. */
export const maxTokenHours = 48;

export interface IssueContractOptions {
  readonly start: () => Promise<ApiServer & { readonly stop: () => Promise<void> }>;
  /** How long the API server goes on calling a token authenticated that it has reviewed. */
  readonly reviewSuccessCacheMs: number;
}

const movingPolicy = testPolicy(`
- {name: free, level: 0, groups: [system:authenticated], limits: unlimited}
- {name: premium, level: 1, groups: [tier-premium-users, moving-group], limits: unlimited}
- {name: enterprise, level: 2, groups: [tier-enterprise-users], limits: unlimited}
`);

/** What the token API does to a cluster: the same in front of the embedded API server and of a real one. */
export function describeIssue(name: string, options: IssueContractOptions): void {
  describe(`the token API in front of ${name}`, () => {
    let kube: Awaited<ReturnType<IssueContractOptions['start']>>;
    let issuer: IssuerWorld;
    let policy = testPolicy();

    beforeAll(async () => {
      kube = await options.start();
      for (const tier of ['free', 'premium', 'enterprise']) await createTierNamespace(kube, tier);
      issuer = await startIssuer(kube, kube.adminToken, {
        api: { policy: () => policy, maxTokensPerUser: 5 },
      });
    });

    beforeEach(() => {
      policy = testPolicy();
    });

    afterAll(async () => {
      await issuer.close();
      await kube.stop();
    });

    const mint = (user: string, body?: unknown): Promise<IssuerAnswer> =>
      ask(issuer, { token: tokenOf(user), method: 'POST', path: '/v1/tokens', body });
    const list = async (user: string): Promise<Json> =>
      (await ask(issuer, { token: tokenOf(user), path: '/v1/tokens' })).body['data'] as Json;
    const revoke = (user: string, path: string): Promise<IssuerAnswer> =>
      ask(issuer, { token: tokenOf(user), method: 'DELETE', path });

    async function asAdmin(method: string, path: string, body?: object): Promise<Json> {
      const answer = await createApiCaller(kube).call(method, path, { token: kube.adminToken, body });
      return answer.body as Json;
    }

    async function countOf(tier: string, plural: string, user: string): Promise<number> {
      const found = await asAdmin('GET', `/api/v1/namespaces/${instance}-tier-${tier}/${plural}`);
      const items = found['items'] as unknown as readonly Json[];
      return items.filter(({ metadata }) => Object.is(metadata?.['annotations']?.['tiergate.dev/user'], user))
        .length;
    }

    /** What the authorizer would be told. */
    async function lives(token: Json | undefined): Promise<boolean> {
      const review = await asAdmin('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences: [audience] },
      });
      return Object.is(review['status']?.['authenticated'], true);
    }

    async function endsSoon(token: Json | undefined): Promise<boolean> {
      const untilMs = Date.now() + options.reviewSuccessCacheMs + 2_000;
      while (Date.now() < untilMs) {
        if (!(await lives(token))) return true;
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      return false;
    }

    describe('lifetimes', () => {
      it('is four hours where none is named', async () => {
        const { status, body } = await mint('alice');
        expect(status).toBe(201);
        expect(body).toMatchObject({ expiration: '4h0m0s', tier: 'premium' });
        expect(lifetimeOf(body)).toBe(4 * 3600);
        expect(claimsOf(body['token'])).toMatchObject({
          aud: [audience],
          sub: `system:serviceaccount:${instance}-tier-premium:alice-522b276a`,
          exp: body['expiresAt'],
          iat: body['issuedAt'],
          jti: body['jti'],
          'kubernetes.io': { secret: { name: `tgt-${textOf(body['id'])}` } },
        });
        expect(await lives(body['token'])).toBe(true);
      });

      it.each([
        ['10m', 600, '10m0s'],
        [600, 600, '10m0s'],
        ['1.5h', 5400, '1h30m0s'],
        ['2h45m', 9900, '2h45m0s'],
        [null, 14_400, '4h0m0s'],
      ])('%s is %d seconds', async (expiration, seconds, text) => {
        await revoke('erin', '/v1/tokens');
        const { status, body } = await mint('erin', { expiration });
        expect({ status, expiration: body['expiration'] }).toEqual({ status: 201, expiration: text });
        expect(lifetimeOf(body)).toBe(seconds);
      });

      it.each([
        ['9m59s', /at least 10 minutes/],
        ['599.9s', /at least 10 minutes/],
        ['-1h', /positive/],
        ['0', /positive/],
        [0, /positive/],
        [-1, /positive/],
        ['', /empty/],
        ['30', /without a unit/],
        ['30x', /unknown unit "x"/],
        ['abc', /not a duration/],
        ['1h 30m', /unknown unit/],
        [true, /must be string or number or null/],
        [['1h'], /must be string or number or null/],
        [{}, /must be string or number or null/],
        ['1e9h', /unknown unit|not a duration/],
        [1e300, /longer than/],
        ['25h', /longer than the 1d that the tier premium allows/],
      ])('%j is refused by name', async (expiration, words) => {
        const before = await countOf('premium', 'secrets', 'fay');
        const { status, body } = await mint('fay', { expiration });
        expect(status).toBe(400);
        expect(body['error']).toMatchObject({
          type: 'invalid_request_error',
          param: 'expiration',
          code: 'request_invalid',
          reason: 'request_invalid',
        });
        expect(body['error']?.['message']).toMatch(words);
        expect(await countOf('premium', 'secrets', 'fay')).toBe(before);
      });

      it.each(['49h', '1000000h', '2000000h', 5.6e283])(
        '%s, longer than the cluster allows, is refused and leaves nothing',
        async (expiration) => {
          const { status, body } = await mint('carol', { expiration });
          expect(status).toBe(400);
          expect(body['error']).toMatchObject({ param: 'expiration' });
          expect(body['error']?.['message']).toMatch(/(this|any) cluster allows/);
          expect(await countOf('enterprise', 'secrets', 'carol')).toBe(0);
        },
      );
    });

    it('serves a hundred first-time users at once', async () => {
      const names = issueUsers.map(({ name: user }) => user).filter((user) => user.startsWith('newcomer'));
      const answers = await Promise.all(names.map((user) => mint(user)));
      expect(answers.map(({ status }) => status)).toEqual(names.map(() => 201));
      const subjects = new Set(answers.map(({ body }) => claimsOf(body['token'])['sub']));
      expect(subjects.size).toBe(100);
    });

    it('serves one first-time user who asks five times at once', async () => {
      await revoke('gus', '/v1/tokens');
      const answers = await Promise.all(Array.from({ length: 5 }, () => mint('gus')));
      expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
      expect(await countOf('premium', 'serviceaccounts', 'gus')).toBe(1);
      const { status, body } = await mint('gus');
      expect({ status, reason: body['error']?.['reason'] }).toEqual({
        status: 429,
        reason: 'too_many_tokens',
      });
      expect(await countOf('premium', 'secrets', 'gus')).toBe(5);
      const [{ id } = { id: '' }] = (await list('gus')) as unknown as readonly { readonly id: string }[];
      expect(await revoke('gus', `/v1/tokens/${id}`)).toMatchObject({ status: 204 });
      expect(await mint('gus')).toMatchObject({ status: 201 });
    });

    it('lists tokens by what was said of them, newest first, and never shows one', async () => {
      await revoke('bob', '/v1/tokens');
      const first = await mint('bob', { name: 'laptop', description: 'mine', expiration: '10m' });
      const second = await mint('bob', { name: 'ci' });
      const tokens = await list('bob');
      expect(tokens).toHaveLength(2);
      expect(tokens).toEqual(
        expect.arrayContaining([
          expect.objectContaining({
            object: 'token',
            id: first.body['id'],
            jti: first.body['jti'],
            name: 'laptop',
            description: 'mine',
            tier: 'free',
            expiresAt: first.body['expiresAt'],
          }),
          expect.objectContaining({ id: second.body['id'], name: 'ci' }),
        ]),
      );
      expect(JSON.stringify(tokens)).not.toContain(first.body['token']);
    });

    it('revokes one token and leaves the other alive', async () => {
      await revoke('bob', '/v1/tokens');
      const doomed = await mint('bob');
      const other = await mint('bob');
      expect(await lives(doomed.body['token'])).toBe(true);
      expect(await lives(other.body['token'])).toBe(true);
      expect(await revoke('bob', `/v1/tokens/${textOf(doomed.body['id'])}`)).toMatchObject({ status: 204 });
      expect(await endsSoon(doomed.body['token'])).toBe(true);
      expect(await lives(other.body['token'])).toBe(true);
      expect(await list('bob')).toHaveLength(1);
      expect(await ask(issuer, { token: doomed.body['token'], path: '/v1/whoami' })).toMatchObject({
        status: 401,
      });
    });

    it('revokes all tokens, in every tier', async () => {
      const here = await mint('bob');
      // As if a change of tier had been cut off half-way.
      const account = { name: 'bob-48181acd', annotations: { 'tiergate.dev/user': 'bob' } };
      const accounts = `/api/v1/namespaces/${instance}-tier-premium/serviceaccounts`;
      await asAdmin('POST', accounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: account });
      const request = await asAdmin('POST', `${accounts}/bob-48181acd/token`, {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: [audience] },
      });
      const there = request['status']?.['token'];
      expect(await lives(there)).toBe(true);
      expect(await revoke('bob', '/v1/tokens')).toMatchObject({ status: 204 });
      expect(await endsSoon(here.body['token'])).toBe(true);
      expect(await endsSoon(there)).toBe(true);
      expect(await list('bob')).toEqual([]);
      // Nothing left to revoke is no mistake.
      expect(await revoke('bob', '/v1/tokens')).toMatchObject({ status: 204 });
    });

    it('ends the old tier when it mints in another, under the same name', async () => {
      const before = await mint('dora');
      expect(before.body['tier']).toBe('free');
      policy = movingPolicy;
      const after = await mint('dora');
      expect(after.body['tier']).toBe('premium');
      expect(await endsSoon(before.body['token'])).toBe(true);
      expect(await lives(after.body['token'])).toBe(true);
      expect(await countOf('free', 'serviceaccounts', 'dora')).toBe(0);
      const whoami = await ask(issuer, { token: after.body['token'], path: '/v1/whoami' });
      expect(whoami.body).toMatchObject({ user: 'dora', tier: 'premium', token: { kind: 'access' } });
    });

    it('takes over an account that MaaS has made', async () => {
      await revoke('erin', '/v1/tokens');
      const path = `/api/v1/namespaces/${instance}-tier-premium/serviceaccounts`;
      const metadata = { name: 'erin-2a4b17b1' };
      const made = await asAdmin('POST', path, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
      const minted = await mint('erin');
      expect(claimsOf(minted.body['token'])['sub']).toBe(
        `system:serviceaccount:${instance}-tier-premium:erin-2a4b17b1`,
      );
      const found = await asAdmin('GET', `${path}/erin-2a4b17b1`);
      expect(found['metadata']).toMatchObject({
        uid: made['metadata']?.['uid'],
        annotations: { 'tiergate.dev/user': 'erin' },
      });
    });

    it('gives nobody the account of somebody else whose name comes out the same', async () => {
      await revoke('erin', '/v1/tokens');
      const path = `/api/v1/namespaces/${instance}-tier-premium/serviceaccounts`;
      const metadata = { name: 'erin-2a4b17b1', annotations: { 'tiergate.dev/user': 'another erin' } };
      await asAdmin('POST', path, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
      const { status, body } = await mint('erin');
      expect({ status, reason: body['error']?.['reason'] }).toEqual({
        status: 403,
        reason: 'mint_forbidden',
      });
      await revoke('erin', '/v1/tokens');
      expect(await asAdmin('GET', `${path}/erin-2a4b17b1`)).toMatchObject({ kind: 'ServiceAccount' });
      await asAdmin('DELETE', `${path}/erin-2a4b17b1`);
    });

    it('an id of somebody else, an unknown one and one of no shape are not found', async () => {
      const { body } = await mint('carol');
      for (const id of [textOf(body['id']), '0'.repeat(32), 'x', 'x'.repeat(1000), '..%2f..%2fsecrets']) {
        const answer = await revoke('alice', `/v1/tokens/${id}`);
        expect(answer.status, id).toBe(404);
        expect(answer.body['error']?.['reason'], id).toBe('token_unknown');
      }
      expect(await lives(body['token'])).toBe(true);
    });

    it('an administrator lists and revokes for others, and nobody else does', async () => {
      await revoke('carol', '/v1/tokens');
      const { body } = await mint('carol');
      for (const [method, path] of [
        ['GET', '/v1/tokens?user=carol'],
        ['DELETE', `/v1/tokens/${textOf(body['id'])}?user=carol`],
        ['DELETE', '/v1/tokens?user=carol'],
      ] as const) {
        const refused = await ask(issuer, { token: tokenOf('alice'), method, path });
        expect(refused.status, path).toBe(403);
      }
      const listed = await ask(issuer, { token: tokenOf('Kube:Admin'), path: '/v1/tokens?user=carol' });
      expect(listed.body['data']).toHaveLength(1);
      expect(await revoke('Kube:Admin', '/v1/tokens?user=carol')).toMatchObject({ status: 204 });
      expect(await endsSoon(body['token'])).toBe(true);
    });

    it('an access token asks and does not mint, list or revoke', async () => {
      await revoke('alice', '/v1/tokens');
      const { body } = await mint('alice');
      const token = body['token'];
      for (const [method, path] of [
        ['POST', '/v1/tokens'],
        ['GET', '/v1/tokens'],
        ['DELETE', '/v1/tokens'],
        ['DELETE', `/v1/tokens/${textOf(body['id'])}`],
      ] as const) {
        const refused = await ask(issuer, { token, method, path });
        expect(refused.status, `${method} ${path}`).toBe(403);
        expect(refused.body['error']).toMatchObject({ reason: 'mint_forbidden', code: 'mint_forbidden' });
      }
      expect(await ask(issuer, { token, path: '/v1/whoami' })).toMatchObject({
        status: 200,
        body: { user: 'alice', tier: 'premium', token: { kind: 'access', jti: body['jti'] } },
      });
      expect(await ask(issuer, { token, path: '/v1/models' })).toMatchObject({ status: 200 });
      expect(await ask(issuer, { token, path: '/v1/usage' })).toMatchObject({ status: 200 });
    });

    it('a ServiceAccount mints only where its namespace is listed, one of a tier never', async () => {
      const account = async (namespace: string): Promise<string> => {
        const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
        await asAdmin('POST', path, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'ci' } });
        const request = await asAdmin('POST', `${path}/ci/token`, {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: {},
        });
        return textOf(request['status']?.['token']);
      };
      const builds = await account('default');
      const ofTier = await account(`${instance}-tier-premium`);
      const what = (token: string) => ({ token, method: 'POST', path: '/v1/tokens' });
      expect(await ask(issuer, what(builds))).toMatchObject({ status: 403 });
      const namespaces = ['default', `${instance}-tier-premium`];
      const listed = await startIssuer(kube, kube.adminToken, {
        api: { serviceAccountNamespaces: namespaces },
      });
      expect(await ask(listed, what(builds))).toMatchObject({ status: 201 });
      expect(await ask(listed, what(ofTier))).toMatchObject({ status: 403 });
      await listed.close();
    });

    it('a tier without a namespace is not provisioned', async () => {
      policy = testPolicy('[{name: gold, level: 9, groups: [system:authenticated], limits: unlimited}]');
      const { status, body, headers } = await mint('bob');
      expect({ status, reason: body['error']?.['reason'] }).toEqual({
        status: 503,
        reason: 'tier_not_provisioned',
      });
      expect(headers.get('retry-after')).toBe('30');
    });

    it('a user of no tier is refused and can still revoke', async () => {
      policy = testPolicy('[{name: premium, level: 1, groups: [tier-premium-users], limits: unlimited}]');
      const { status, body } = await mint('bob');
      expect({ status, reason: body['error']?.['reason'] }).toEqual({ status: 403, reason: 'no_tier' });
      expect(await revoke('bob', '/v1/tokens')).toMatchObject({ status: 204 });
    });
  });
}
