import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startFaultProxy } from './fault-proxy.ts';
import { clusterAudience, type KubeApiServer, startKubeApiServer } from './kube-apiserver.ts';
import { createKubeClient } from './kube-client.ts';
import { hasEnded } from './process-table.ts';

const accessAudience = 'maas-default-gateway-sa';
const opaqueToken = 'sha256~opaque-token-of-alice';

describe('a real kube-apiserver', () => {
  let kube: KubeApiServer;
  beforeAll(async () => {
    kube = await startKubeApiServer({
      users: [{ token: opaqueToken, name: 'alice', groups: ['tier-premium-users', 'team-blue'] }],
    });
    const client = kube.client();
    await client.post('/api/v1/namespaces', { metadata: { name: 'llm' } });
    await client.post('/api/v1/namespaces', { metadata: { name: 'tier' } });
    await client.post('/api/v1/namespaces/tier/serviceaccounts', { metadata: { name: 'alice' } });
  });
  afterAll(() => kube.stop());

  interface ReviewStatus {
    readonly authenticated?: boolean;
    readonly audiences?: readonly string[];
    readonly user?: { readonly username: string; readonly groups: readonly string[] };
  }

  async function review(token: string, audiences?: readonly string[]): Promise<ReviewStatus> {
    const answer = await kube.client().post('/apis/authentication.k8s.io/v1/tokenreviews', {
      spec: { token, ...(audiences === undefined ? {} : { audiences }) },
    });
    expect(answer.status).toBe(201);
    return (answer.body as { readonly status: ReviewStatus }).status;
  }

  async function mint(): Promise<string> {
    const answer = await kube.client().post('/api/v1/namespaces/tier/serviceaccounts/alice/token', {
      spec: { audiences: [accessAudience], expirationSeconds: 600 },
    });
    expect(answer.status).toBe(201);
    return (answer.body as { readonly status: { readonly token: string } }).status.token;
  }

  async function mayPost(user: string, model: string): Promise<boolean> {
    const answer = await kube.client().post('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
      spec: {
        user,
        resourceAttributes: {
          group: 'serving.kserve.io',
          resource: 'llminferenceservices',
          verb: 'post',
          namespace: 'llm',
          name: model,
        },
      },
    });
    expect(answer.status).toBe(201);
    return (answer.body as { readonly status: { readonly allowed: boolean } }).status.allowed;
  }

  it('vouches for a token it minted for our audience, with the groups of its namespace', async () => {
    expect(await review(await mint(), [accessAudience])).toMatchObject({
      authenticated: true,
      audiences: [accessAudience],
      user: {
        username: 'system:serviceaccount:tier:alice',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:tier', 'system:authenticated'],
      },
    });
  });

  it('does not take a token of our audience for one of its own', async () => {
    const token = await mint();
    expect((await review(token)).authenticated).not.toBe(true);
    expect((await review(token, [clusterAudience])).authenticated).not.toBe(true);
    expect((await kube.client(token).get('/api/v1/namespaces')).status).toBe(401);
  });

  it('knows static users with their groups, for its own audience only', async () => {
    expect(await review(opaqueToken)).toMatchObject({
      authenticated: true,
      user: { username: 'alice', groups: ['tier-premium-users', 'team-blue', 'system:authenticated'] },
    });
    expect((await review(opaqueToken, [accessAudience])).authenticated).not.toBe(true);
  });

  it('allows a model by RBAC, and only that one', async () => {
    const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/llm';
    await kube.client().post(`${rbac}/roles`, {
      metadata: { name: 'llama' },
      rules: [
        {
          apiGroups: ['serving.kserve.io'],
          resources: ['llminferenceservices'],
          resourceNames: ['llama'],
          verbs: ['post'],
        },
      ],
    });
    await kube.client().post(`${rbac}/rolebindings`, {
      metadata: { name: 'llama' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'llama' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'alice' }],
    });
    await expect.poll(() => mayPost('alice', 'llama')).toBe(true);
    expect(await mayPost('alice', 'qwen-large')).toBe(false);
    expect(await mayPost('bob', 'llama')).toBe(false);
  });

  it('serves the keys that its tokens are signed with', async () => {
    const answer = await kube.client().get('/openid/v1/jwks');
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ keys: [{ kty: 'RSA', alg: 'RS256' }] });
  });

  it('has every review in its count as soon as the review is answered', async () => {
    const before = kube.reviews('tokenreviews').length;
    const accessBefore = kube.reviews('subjectaccessreviews').length;
    await Promise.all([review('a'), review('b'), review('c'), mayPost('bob', 'llama')]);
    expect(kube.reviews('tokenreviews').length).toBe(before + 3);
    expect(kube.reviews('subjectaccessreviews').length).toBe(accessBefore + 1);
    expect(kube.reviews('tokenreviews').at(-1)).toEqual({ user: 'test-admin', verb: 'create' });
  });

  it('takes connections and answers nothing while it is paused', async () => {
    kube.pause();
    const asked = kube.client().get('/livez', AbortSignal.timeout(300));
    await expect(asked).rejects.toThrow(/abort/i);
    kube.resume();
    expect((await kube.client().get('/livez')).status).toBe(200);
  });

  it('comes back with its objects on the same port', async () => {
    await kube.kill();
    await expect(kube.client().get('/livez')).rejects.toThrow('ECONNREFUSED');
    await kube.restart();
    expect((await kube.client().get('/api/v1/namespaces/tier/serviceaccounts/alice')).status).toBe(200);
  });

  it('can be reached through a proxy that slows it down', async () => {
    const proxy = await startFaultProxy(kube.port);
    const slow = createKubeClient({
      url: `https://127.0.0.1:${proxy.port}`,
      caPem: kube.caPem,
      token: kube.adminToken,
    });
    expect((await slow.get('/livez')).status).toBe(200);
    await proxy.slow(200);
    const startedAtMs = performance.now();
    expect((await slow.get('/livez')).status).toBe(200);
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(200);
    await proxy.stop();
  });
});

describe('a real control plane with its controllers', () => {
  it('ends a deleted namespace with all that is in it, and leaves no process behind', async () => {
    const kube = await startKubeApiServer({ controllerManager: true });
    const client = kube.client();
    await client.post('/api/v1/namespaces', { metadata: { name: 'short-lived' } });
    await client.delete('/api/v1/namespaces/short-lived');
    await expect
      .poll(async () => (await client.get('/api/v1/namespaces/short-lived')).status, { timeout: 30_000 })
      .toBe(404);
    const pids = kube.pids();
    expect(pids.length).toBe(3);
    await kube.stop();
    expect(pids.filter((pid) => !hasEnded(pid))).toEqual([]);
  });
});
