import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { applyManifests, readManifests } from './apply-manifests.ts';
import {
  ask,
  audience,
  createTierNamespace,
  instance,
  issuerToken,
  type IssuerWorld,
  startIssuer,
} from '../issue/issuer-world.ts';
import { type KubeApiServer, startKubeApiServer } from './kube-apiserver.ts';
import type { KubeClient } from './kube-client.ts';

const users = [{ token: 'alice-cluster-token', name: 'alice', groups: ['tier-premium-users'] }];

/** Where it is tried whether the policy is in force yet: until it is, the attempt succeeds. */
const scratchNamespace = 'scratch';

const tierNamespace = `${instance}-tier-premium`;

/**
 * The rights of `createNamespaces: true`, and cluster-wide what an intruder could make of them: so that what holds is
 * the admission policy alone.
 */
describe('the issuer with rights everywhere, behind its admission policy', () => {
  let kube: KubeApiServer;
  let issuer: IssuerWorld;
  let asIssuer: KubeClient;

  beforeAll(async () => {
    kube = await startKubeApiServer({ users });
    const admin = kube.client();
    for (const name of ['tiergate', scratchNamespace]) {
      await applyManifests(admin, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }]);
    }
    for (const file of [
      'issuer-rbac.yaml',
      '../components/create-namespaces/issuer-create-namespaces.yaml',
      'issuer-admission.yaml',
    ]) {
      await applyManifests(admin, readManifests(file));
    }
    const token = await issuerToken(admin);
    asIssuer = kube.client(token);
    issuer = await startIssuer(kube, token, { api: { createNamespaces: true } });
    await untilAdmissionHolds(asIssuer);
  });

  afterAll(async () => {
    await issuer.close();
    await kube.stop();
  });

  test('a first mint makes namespace, binding and account', async () => {
    const minted = await ask(issuer, { token: 'alice-cluster-token', method: 'POST', path: '/v1/tokens' });
    expect(minted.body).toMatchObject({ tier: 'premium' });
    const namespace = await kube.client().get(`/api/v1/namespaces/${tierNamespace}`);
    expect(namespace.body).toMatchObject({
      metadata: { labels: { 'maas.opendatahub.io/tier-namespace': 'true' } },
    });
  });

  test('it binds itself in no other namespace', async () => {
    expect(await bindIn(asIssuer, 'kube-system')).toMatchObject({ status: 422 });
    expect(await bindIn(asIssuer, 'default')).toMatchObject({ status: 422 });
    expect(await bindIn(asIssuer, 'tiergate')).toMatchObject({ status: 422 });
  });

  test('it binds nobody but itself, and nothing but its Role', async () => {
    expect(await bindIn(asIssuer, tierNamespace, { subject: 'mallory' })).toMatchObject({ status: 422 });
    const other = await bindIn(asIssuer, tierNamespace, { role: 'cluster-admin' });
    expect(other.status).toBeGreaterThanOrEqual(403);
  });

  test('it reads no Secret outside tier namespaces', async () => {
    for (const namespace of ['kube-system', 'default', 'tiergate']) {
      expect(await asIssuer.get(`/api/v1/namespaces/${namespace}/secrets`)).toMatchObject({ status: 403 });
    }
    expect(await asIssuer.get('/api/v1/secrets')).toMatchObject({ status: 403 });
  });

  test('it makes and relabels no namespace that is not a tier', async () => {
    const labels = { 'maas.opendatahub.io/instance': instance, 'maas.opendatahub.io/tier-namespace': 'true' };
    const made = await asIssuer.post('/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'kube-other', labels },
    });
    expect(made.status).toBe(422);
    const relabelled = await asIssuer.put('/api/v1/namespaces/kube-system', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'kube-system', labels },
    });
    expect(relabelled.status).toBe(403);
  });

  test('in a tier namespace it requests no token for the cluster, and none that is not bound', async () => {
    const account = (await firstAccount(kube.client(), tierNamespace)) ?? '';
    const request = (spec: object) =>
      asIssuer.post(`/api/v1/namespaces/${tierNamespace}/serviceaccounts/${account}/token`, {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec,
      });
    expect(await request({ audiences: ['https://kubernetes.default.svc'] })).toMatchObject({ status: 422 });
    expect(await request({ audiences: [audience] })).toMatchObject({ status: 422 });
    expect(await request({})).toMatchObject({ status: 422 });
  });

  test('it makes no Secret that fills itself with a token', async () => {
    const account = (await firstAccount(kube.client(), tierNamespace)) ?? '';
    const made = await asIssuer.post(`/api/v1/namespaces/${tierNamespace}/secrets`, {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/service-account-token',
      metadata: { name: 'forever', annotations: { 'kubernetes.io/service-account.name': account } },
    });
    expect(made.status).toBe(422);
  });

  describe('with its Role bound cluster-wide by mistake', () => {
    beforeAll(async () => {
      const byMistake = {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'by-mistake' },
        roleRef: {
          apiGroup: 'rbac.authorization.k8s.io',
          kind: 'ClusterRole',
          name: 'tiergate-issuer-tier',
        },
        subjects: [{ kind: 'ServiceAccount', name: 'tiergate-issuer', namespace: 'tiergate' }],
      };
      await applyManifests(kube.client(), [byMistake]);
      await createTierNamespace(kube, 'free');
    });

    test('it mints for no account of kube-system, and makes none there', async () => {
      const admin = kube.client();
      await applyManifests(admin, [
        {
          apiVersion: 'v1',
          kind: 'ServiceAccount',
          metadata: { name: 'controller', namespace: 'kube-system' },
        },
      ]);
      const path = '/api/v1/namespaces/kube-system/serviceaccounts';
      const token = await asIssuer.post(`${path}/controller/token`, {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: [audience] },
      });
      expect(token.status).toBe(422);
      const account = await asIssuer.post(path, {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'mine' },
      });
      expect(account.status).toBe(422);
      expect(await asIssuer.delete(`${path}/controller`)).toMatchObject({ status: 422 });
      // The same is let through where it belongs, so it is the policy that says no.
      const own = await asIssuer.post(`/api/v1/namespaces/${instance}-tier-free/serviceaccounts`, {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'mine' },
      });
      expect(own.status).toBe(201);
    });
  });
});

interface Binding {
  readonly subject?: string;
  readonly role?: string;
}

function bindIn(client: KubeClient, namespace: string, binding: Binding = {}) {
  const { subject = 'system:serviceaccount:tiergate:tiergate-issuer', role = 'tiergate-issuer-tier' } =
    binding;
  return client.post(`/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`, {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: `tried-${Date.now()}` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: subject }],
  });
}

async function firstAccount(admin: KubeClient, namespace: string): Promise<string | undefined> {
  const { body } = await admin.get(`/api/v1/namespaces/${namespace}/serviceaccounts`);
  const { items } = body as { readonly items: readonly { readonly metadata: { readonly name: string } }[] };
  return items.find(({ metadata }) => metadata.name.startsWith('alice'))?.metadata.name;
}

/** A new policy is in force a moment after it is accepted. */
async function untilAdmissionHolds(client: KubeClient): Promise<void> {
  const untilMs = Date.now() + 20_000;
  while ((await bindIn(client, scratchNamespace)).status !== 422) {
    if (Date.now() > untilMs) throw new Error('the admission policy is not in force');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
