import { describe, expect, it } from 'vitest';
import { warnAboutAudience } from '../../src/kubernetes/audience-warning.ts';
import type { KubernetesAnswer, KubernetesRequest } from '../../src/kubernetes/client.ts';
import { configMapText, readConfigMap } from '../../src/kubernetes/config-map.ts';
import { createAuthorize } from '../../src/kubernetes/subject-access-review.ts';
import { createAuthenticate, createReviewToken } from '../../src/kubernetes/token-review.ts';
import { createSecret } from '../../src/secret.ts';

/** Answers every request in the same way. */
function fakeClient(answer: KubernetesAnswer) {
  const requests: KubernetesRequest[] = [];
  return {
    requests,
    request: async (request: KubernetesRequest) => {
      requests.push(request);
      return answer;
    },
  };
}

const audience = 'maas-default-gateway-sa';
const user = {
  username: 'system:serviceaccount:maas-default-gateway-tier-free:alice-1',
  uid: 'uid-1',
  groups: ['system:serviceaccounts', 'system:authenticated'],
  extra: { 'authentication.kubernetes.io/credential-id': ['JTI=1'] },
};

const authenticate = (status: unknown, code = 201) =>
  createAuthenticate({ client: fakeClient({ status: code, body: { status } }), audience })(createSecret('t'));

describe('a TokenReview', () => {
  it('asks for our audience, and may be sent twice', async () => {
    const client = fakeClient({
      status: 201,
      body: { status: { authenticated: true, user, audiences: [audience] } },
    });
    await expect(createAuthenticate({ client, audience })(createSecret('token'))).resolves.toEqual(user);
    expect(client.requests).toEqual([
      {
        method: 'POST',
        path: '/apis/authentication.k8s.io/v1/tokenreviews',
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenReview',
          spec: { token: 'token', audiences: [audience] },
        },
        idempotent: true,
      },
    ]);
  });

  it('says yes only by both authenticated and our audience', async () => {
    await expect(authenticate({ authenticated: true, user, audiences: [audience, 'x'] })).resolves.toEqual(
      user,
    );
    for (const audiences of [[], ['another'], undefined, null]) {
      await expect(authenticate({ authenticated: true, user, audiences })).resolves.toMatchObject({
        reason: 'wrong_audience',
      });
    }
    for (const authenticated of [false, undefined, 'true', 1]) {
      await expect(authenticate({ authenticated, user, audiences: [audience] })).resolves.toMatchObject({
        reason: 'token_rejected',
      });
    }
    await expect(authenticate({ error: 'invalid bearer token' })).resolves.toMatchObject({
      reason: 'token_rejected',
    });
  });

  it('takes what a user may leave out for empty', async () => {
    await expect(
      authenticate({ authenticated: true, user: { username: 'alice' }, audiences: [audience] }),
    ).resolves.toEqual({ username: 'alice', uid: '', groups: [], extra: {} });
  });

  it.each([
    ['nobody', undefined],
    ['a user without a name', { ...user, username: '' }],
    ['groups that are no list', { ...user, groups: 'system:masters' }],
    ['groups of numbers', { ...user, groups: [1] }],
    ['an extra that is no map', { ...user, extra: ['x'] }],
    ['an extra of single values', { ...user, extra: { x: 'y' } }],
    ['a uid that is no text', { ...user, uid: 7 }],
  ])('for %s can not tell', async (_name, broken) => {
    await expect(
      authenticate({ authenticated: true, user: broken, audiences: [audience] }),
    ).rejects.toMatchObject({ code: 'malformed' });
  });

  it('without a status, or answered with another code, can not tell', async () => {
    await expect(authenticate(undefined)).rejects.toMatchObject({ code: 'malformed' });
    await expect(
      authenticate({ authenticated: true, user, audiences: [audience] }, 404),
    ).rejects.toMatchObject({
      code: 'malformed',
    });
  });

  it('for several audiences tells which of them the token has', async () => {
    const client = fakeClient({
      status: 201,
      body: { status: { authenticated: true, user, audiences: ['b'] } },
    });
    await expect(createReviewToken({ client })(createSecret('t'), ['a', 'b'])).resolves.toEqual({
      user,
      audiences: ['b'],
    });
  });
});

describe('a SubjectAccessReview', () => {
  const question = {
    user: user.username,
    uid: user.uid,
    groups: user.groups,
    extra: {},
    namespace: 'llm',
    name: 'llama',
  };
  const resource = { group: 'serving.kserve.io', resource: 'llminferenceservices', verb: 'post' };
  const authorize = (status: unknown, code = 201) =>
    createAuthorize({ client: fakeClient({ status: code, body: { status } }), ...resource })(question);

  it('asks exactly what it is told', async () => {
    const client = fakeClient({ status: 201, body: { status: { allowed: true } } });
    await expect(createAuthorize({ client, ...resource })(question)).resolves.toEqual({ namespace: 'llm' });
    expect(client.requests[0]).toMatchObject({
      path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      body: {
        spec: {
          user: user.username,
          uid: user.uid,
          groups: user.groups,
          extra: {},
          resourceAttributes: { ...resource, namespace: 'llm', name: 'llama' },
        },
      },
    });
  });

  it('says yes only by allowed, and not when an authorizer denies it', async () => {
    for (const status of [
      { allowed: false },
      { allowed: true, denied: true },
      { allowed: false, evaluationError: 'role.rbac.authorization.k8s.io "gone" not found' },
    ]) {
      await expect(authorize(status)).resolves.toMatchObject({ denied: true, reason: 'model_forbidden' });
    }
  });

  it('says the same of every model that may not be used', async () => {
    const one = await authorize({ allowed: false, reason: 'RBAC: no such role' });
    const other = await authorize({ allowed: false });
    expect(one).toEqual(other);
  });

  it.each([[undefined], [{}], [{ allowed: 'true' }], ['allowed']])(
    'of another shape can not tell: %j',
    async (status) => {
      await expect(authorize(status)).rejects.toMatchObject({ code: 'malformed' });
    },
  );
});

describe('the warning about our audience', () => {
  const own = createSecret('own');
  const warn = (status: unknown, ownToken: typeof own | undefined = own) =>
    warnAboutAudience({
      client: { ...fakeClient({ status: 201, body: { status } }), ownToken: async () => ownToken },
      audience,
    });

  it('comes when our own token is good for our audience', async () => {
    expect(await warn({ authenticated: true, user, audiences: [audience] })).toMatch(/--api-audiences/);
  });

  it('does not come otherwise, nor without a token of our own', async () => {
    expect(await warn({ error: 'invalid bearer token' })).toBeUndefined();
    expect(await warn({ authenticated: true, user, audiences: [] })).toBeUndefined();
    const client = { ...fakeClient({ status: 500, body: {} }), ownToken: async () => undefined };
    expect(await warnAboutAudience({ client, audience })).toBeUndefined();
    expect(client.requests).toEqual([]);
  });
});

describe('a ConfigMap', () => {
  const name = { namespace: 'tiergate', name: 'tier-to-group-mapping' };
  const metadata = { ...name, uid: 'u-1', resourceVersion: '7' };
  const read = (status: number, body: unknown) => readConfigMap(fakeClient({ status, body }), name);

  it('is read with its version', async () => {
    const configMap = await read(200, { metadata, data: { tiers: '- name: free' } });
    expect(configMap).toEqual({ ...metadata, data: { tiers: '- name: free' } });
    expect(configMap && configMapText(configMap, 'tiers')).toBe('- name: free');
  });

  it('that is not there is undefined', async () => {
    expect(await read(404, { kind: 'Status' })).toBeUndefined();
  });

  it('without the key says which keys it has', async () => {
    const configMap = await read(200, { metadata, data: { tier: '', other: '' } });
    expect(() => configMap && configMapText(configMap, 'tiers')).toThrow(
      'ConfigMap tiergate/tier-to-group-mapping has no key "tiers"; it has tier, other',
    );
    const empty = await read(200, { metadata });
    expect(() => empty && configMapText(empty, 'tiers')).toThrow('it has no keys at all');
  });

  it('of another shape can not be told', async () => {
    for (const body of [{}, { metadata: {} }, { metadata, data: { tiers: 1 } }, [], null]) {
      await expect(read(200, body)).rejects.toMatchObject({ code: 'malformed' });
    }
    await expect(read(422, { message: 'no' })).rejects.toMatchObject({ code: 'malformed' });
  });
});
