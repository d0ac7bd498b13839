import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { createSweep } from '../../src/issue/sweep.ts';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { readConfigMap, watchConfigMap } from '../../src/kubernetes/config-map.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { createLease } from '../../src/kubernetes/lease.ts';
import { createServedModels } from '../../src/kubernetes/llm-inference-services.ts';
import { createServiceAccounts } from '../../src/kubernetes/service-account.ts';
import { createListTierNamespaces } from '../../src/kubernetes/tier-namespace.ts';
import { createTokenSecrets } from '../../src/kubernetes/token-secret.ts';
import { createSecret } from '../../src/secret.ts';
import {
  applyManifests,
  installModelDefinition,
  type Manifest,
  readManifests,
  replaceManifest,
} from './apply-manifests.ts';
import { ask, instance, issuerNamespace, issuerToken, startIssuer } from '../issue/issuer-world.ts';
import { type KubeApiServer, startKubeApiServer } from './kube-apiserver.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface RoleManifest extends Manifest {
  readonly rules: readonly Rule[];
}

/** What the issuer does, each as somebody would notice it; true: it worked. */
interface World {
  readonly kube: KubeApiServer;
  readonly client: KubernetesClient;
  readonly issuer: { readonly url: string };
  /** A user that nobody has minted for. */
  readonly newcomer: () => string;
}

const alice = 'alice-cluster-token';

const works: Readonly<Record<string, (world: World) => Promise<boolean>>> = {
  'tells who a caller is': async ({ issuer }) =>
    (await ask(issuer, { token: 'carol-cluster-token', path: '/v1/whoami' })).status === 200,

  'mints for a newcomer': async ({ issuer, newcomer }) =>
    (await ask(issuer, { token: newcomer(), method: 'POST', path: '/v1/tokens' })).status === 201,

  'mints for a user whom MaaS knew': async ({ kube, issuer }) => {
    const path = `/api/v1/namespaces/${instance}-tier-premium/serviceaccounts`;
    await kube.client().delete(`${path}/alice-522b276a`);
    await kube.client().post(path, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'alice-522b276a' },
    });
    return (await ask(issuer, { token: alice, method: 'POST', path: '/v1/tokens' })).status === 201;
  },

  'revokes one token': async ({ kube, issuer }) => {
    const id = `${Date.now()}`;
    const account = await kube
      .client()
      .get(`/api/v1/namespaces/${instance}-tier-premium/serviceaccounts/fay-d6ba2ee1`);
    const { uid } = (account.body as { readonly metadata: { readonly uid: string } }).metadata;
    await kube.client().post(`/api/v1/namespaces/${instance}-tier-premium/secrets`, {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'tiergate.dev/access-token',
      metadata: {
        name: `tgt-${id}`,
        labels: { 'tiergate.dev/token': 'true', 'tiergate.dev/service-account': 'fay-d6ba2ee1' },
        annotations: {
          'tiergate.dev/user': 'fay',
          'tiergate.dev/jti': 'j',
          'tiergate.dev/expires-at': new Date(Date.now() + 60_000).toISOString(),
        },
        ownerReferences: [{ apiVersion: 'v1', kind: 'ServiceAccount', name: 'fay-d6ba2ee1', uid }],
      },
    });
    const what = { token: 'fay-cluster-token', method: 'DELETE', path: `/v1/tokens/${id}` };
    return (await ask(issuer, what)).status === 204;
  },

  'revokes all': async ({ kube, issuer }) => {
    await kube.client().post(`/api/v1/namespaces/${instance}-tier-premium/serviceaccounts`, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'alice-522b276a', annotations: { 'tiergate.dev/user': 'alice' } },
    });
    return (await ask(issuer, { token: alice, method: 'DELETE', path: '/v1/tokens' })).status === 204;
  },

  'asks for an administrator': async ({ issuer }) =>
    (await ask(issuer, { token: 'root-cluster-token', path: '/v1/tokens?user=alice' })).status === 200,

  sweeps: async ({ client }) => {
    await createSweep({
      listTierNamespaces: createListTierNamespaces(client, instance),
      ...createServiceAccounts(client, instance),
      ...createTokenSecrets(client),
      now: Date.now,
    })();
    return true;
  },

  leads: async ({ kube, client }) => {
    const path = `/apis/coordination.k8s.io/v1/namespaces/${issuerNamespace}/leases/tiergate-issuer`;
    await kube.client().delete(path);
    const options = { namespace: issuerNamespace, name: 'tiergate-issuer', durationSeconds: 60 };
    const lease = createLease({ client, ...options, identity: 'a', now: Date.now });
    // To make it, then to renew it.
    return (await lease.hold()) && (await lease.hold());
  },

  'reads the policy': async ({ client }) =>
    (await readConfigMap(client, { namespace: issuerNamespace, name: 'tier-to-group-mapping' })) !==
    undefined,

  'follows the policy': async ({ kube, client }) => {
    const place = { namespace: issuerNamespace, name: 'tier-to-group-mapping' };
    const seen: (string | undefined)[] = [];
    const watch = watchConfigMap({
      client,
      ...place,
      onChange: (configMap) => void seen.push(configMap?.data['note']),
      timings: { minPauseMs: 10 },
    });
    try {
      await watch.settled();
      const note = `note ${Date.now()}`;
      const path = `/api/v1/namespaces/${place.namespace}/configmaps/${place.name}`;
      const { body } = await kube.client().get(path);
      const object = body as { readonly data: Readonly<Record<string, string>> };
      await kube.client().put(path, { ...object, data: { ...object.data, note } });
      const untilMs = Date.now() + 1_000;
      while (Date.now() < untilMs) {
        // A list would show it sooner or later; only a watch tells of it.
        if (watch.state().phase === 'up' && seen.includes(note)) return true;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return false;
    } finally {
      watch.stop();
    }
  },

  'knows the models, also new ones': async ({ kube, client }) => {
    const models = createServedModels({ client, onPhase: () => undefined, timings: { minPauseMs: 10 } });
    try {
      await models.settled();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const name = `new-${Date.now()}`;
      await kube.client().post('/apis/serving.kserve.io/v1alpha1/namespaces/default/llminferenceservices', {
        apiVersion: 'serving.kserve.io/v1alpha1',
        kind: 'LLMInferenceService',
        metadata: { name },
        spec: {},
      });
      const untilMs = Date.now() + 1_000;
      while (Date.now() < untilMs) {
        if (models.listServedModels().some(({ objectName }) => objectName === name)) return true;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return false;
    } finally {
      models.stop();
    }
  },
};

/** Which of them stops without which right: `Role resource verb`. */
const needs: Readonly<Record<string, string>> = {
  'tiergate-issuer tokenreviews create': 'tells who a caller is',
  'tiergate-issuer subjectaccessreviews create': 'asks for an administrator',
  'tiergate-issuer namespaces list': 'mints for a newcomer',
  'tiergate-issuer llminferenceservices list': 'knows the models, also new ones',
  'tiergate-issuer llminferenceservices watch': 'knows the models, also new ones',
  'tiergate-issuer-tier serviceaccounts get': 'mints for a newcomer',
  'tiergate-issuer-tier serviceaccounts list': 'sweeps',
  'tiergate-issuer-tier serviceaccounts create': 'mints for a newcomer',
  'tiergate-issuer-tier serviceaccounts patch': 'mints for a user whom MaaS knew',
  'tiergate-issuer-tier serviceaccounts delete': 'revokes all',
  'tiergate-issuer-tier serviceaccounts/token create': 'mints for a newcomer',
  'tiergate-issuer-tier secrets list': 'mints for a newcomer',
  'tiergate-issuer-tier secrets create': 'mints for a newcomer',
  'tiergate-issuer-tier secrets patch': 'mints for a newcomer',
  'tiergate-issuer-tier secrets delete': 'revokes one token',
  'tiergate-issuer leases create': 'leads',
  'tiergate-issuer leases get': 'leads',
  'tiergate-issuer leases update': 'leads',
  'tiergate-issuer configmaps get': 'reads the policy',
  'tiergate-issuer configmaps list': 'follows the policy',
  'tiergate-issuer configmaps watch': 'follows the policy',
};

const newcomers = Array.from({ length: 60 }, (_, index) => `newcomer-${index}`);

const users = [
  { token: alice, name: 'alice', groups: ['tier-premium-users'] },
  { token: 'carol-cluster-token', name: 'carol', groups: [] },
  { token: 'fay-cluster-token', name: 'fay', groups: ['tier-premium-users'] },
  { token: 'root-cluster-token', name: 'root', groups: ['system:masters'] },
  ...newcomers.map((name) => ({ token: `${name}-token`, name, groups: [] })),
];

const roles = readManifests('issuer-rbac.yaml').filter(
  (manifest): manifest is RoleManifest =>
    'rules' in manifest && manifest.metadata.name.startsWith('tiergate-issuer'),
);

const rights = roles.flatMap((role) =>
  role.rules.flatMap((rule) =>
    rule.verbs.map((verb) => ({ role, rule, verb, right: nameOf(role, rule, verb) })),
  ),
);

describe('the rights of the issuer', () => {
  let kube: KubeApiServer;
  let world: World;
  let token: string;
  const ends: (() => Promise<void> | void)[] = [];

  beforeAll(async () => {
    kube = await startKubeApiServer({ users });
    const admin = kube.client();
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: issuerNamespace } };
    await applyManifests(admin, [
      namespace,
      ...readManifests('issuer-rbac.yaml'),
      ...readManifests('issuer-tier-namespaces.yaml'),
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'tier-to-group-mapping', namespace: issuerNamespace },
      },
    ]);
    await installModelDefinition(admin);
    await admin.post(`/api/v1/namespaces/${instance}-tier-premium/serviceaccounts`, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'fay-d6ba2ee1', annotations: { 'tiergate.dev/user': 'fay' } },
    });
    token = await issuerToken(admin);
    ends.push(() => kube.stop());
    // A caller's identity is remembered for a moment: each attempt has an issuer of its own.
    const client = createKubernetesClient({
      connection: createFixedConnection({ server: kube.url, caPem: kube.caPem, token: createSecret(token) }),
      timeoutMs: 5_000,
    });
    ends.unshift(() => client.close());
    let next = 0;
    world = {
      kube,
      client,
      issuer: { url: '' },
      newcomer: () => {
        next += 1;
        return `${newcomers[next - 1] ?? ''}-token`;
      },
    };
  });

  afterAll(async () => {
    for (const end of ends) await end();
  });

  async function attempt(work: string): Promise<boolean> {
    const issuer = await startIssuer(kube, token);
    try {
      return (await works[work]?.({ ...world, issuer })) === true;
    } catch {
      return false;
    } finally {
      await issuer.close();
    }
  }

  test('every right has a work that needs it', () => {
    expect(Object.keys(needs).sort()).toEqual(rights.map(({ right }) => right).sort());
  });

  test.each(Object.keys(works))('are enough: it %s', async (work) => {
    expect(await attempt(work)).toBe(true);
  });

  test.each(rights)('are needed: without $right', async ({ role, rule, verb, right }) => {
    const work = needs[right] ?? '';
    await replaceManifest(kube.client(), without(role, rule, verb));
    try {
      await untilRight(false, rule, verb);
      expect(await attempt(work), work).toBe(false);
    } finally {
      await replaceManifest(kube.client(), role);
      await untilRight(true, rule, verb);
    }
    expect(await attempt(work), work).toBe(true);
  });

  /** RBAC notices a change within milliseconds; the API server itself says when. */
  async function untilRight(wanted: boolean, rule: Rule, verb: string): Promise<void> {
    const [resource = '', subresource] = (rule.resources[0] ?? '').split('/');
    const isOfTier = ['serviceaccounts', 'secrets'].includes(resource);
    const isOwn = ['leases', 'configmaps'].includes(resource);
    for (let round = 0; round < 500; round += 1) {
      const { body } = await kube.client().post('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: {
          user: 'system:serviceaccount:tiergate:tiergate-issuer',
          groups: ['system:serviceaccounts', 'system:serviceaccounts:tiergate', 'system:authenticated'],
          resourceAttributes: {
            group: rule.apiGroups[0],
            resource,
            verb,
            ...(subresource !== undefined && { subresource }),
            ...(isOfTier && { namespace: `${instance}-tier-premium` }),
            ...(isOwn && { namespace: issuerNamespace, name: rule.resourceNames?.[0] }),
          },
        },
      });
      if ((body as { readonly status: { readonly allowed: boolean } }).status.allowed === wanted) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`${verb} ${resource} does not become ${String(wanted)}`);
  }
});

function nameOf(role: RoleManifest, rule: Rule, verb: string): string {
  return `${role.metadata.name} ${rule.resources.join(',')} ${verb}`;
}

function without(role: RoleManifest, rule: Rule, verb: string): RoleManifest {
  const rules = role.rules.map((other) =>
    other === rule ? { ...rule, verbs: rule.verbs.filter((word) => word !== verb) } : other,
  );
  // A rule without verbs is no rule to the API server.
  return { ...role, rules: rules.filter(({ verbs }) => verbs.length > 0) };
}
