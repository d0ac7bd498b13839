import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { readConfigMap, watchConfigMap } from '../../src/kubernetes/config-map.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { createDeniedStore, createDeniedWatch } from '../../src/kubernetes/denied-config-map.ts';
import { createReportEvent } from '../../src/kubernetes/event.ts';
import { createRbacWatch, rbacResources } from '../../src/kubernetes/rbac-watch.ts';
import { createAuthorize } from '../../src/kubernetes/subject-access-review.ts';
import { createTokenObjects } from '../../src/kubernetes/token-objects.ts';
import { createAuthenticate } from '../../src/kubernetes/token-review.ts';
import { createSecret } from '../../src/secret.ts';
import { applyManifests, type Manifest, readManifests, replaceManifest } from './apply-manifests.ts';
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

/** One right: a verb on one resource of one rule. */
interface Right {
  readonly role: RoleManifest;
  readonly rule: Rule;
  readonly resource: string;
  readonly verb: string;
  readonly right: string;
}

const namespace = 'tiergate';
const tierNamespace = 'maas-default-gateway-tier-premium';
const account = { namespace: tierNamespace, name: 'somebody', uid: 'no-such-uid' };

interface Stoppable {
  readonly stop: () => void;
}

/** What the authorizer does, each as somebody would notice it; a throw or false: it did not work. */
const works: Readonly<Record<string, (client: KubernetesClient) => Promise<boolean>>> = {
  async 'reviews a token'(client) {
    await createAuthenticate({ client, audience: 'maas-default-gateway-sa' })(createSecret('a.b.c'));
    return true;
  },

  async 'reviews access'(client) {
    await createAuthorize({ client, group: 'g', resource: 'r', verb: 'post' })({
      user: 'u',
      uid: '',
      groups: [],
      extra: {},
      namespace: 'n',
      name: 'm',
    });
    return true;
  },

  async 'follows what tokens stand on'(client) {
    const objects = createTokenObjects({ client, namespaces: [tierNamespace], rememberMs: 0 });
    return stopping(objects, async () => {
      await objects.synced();
      return objects.isFollowed(tierNamespace);
    });
  },

  async 'looks up an account that is newer than the watch'(client) {
    return stopping(createTokenObjects({ client, namespaces: [], rememberMs: 0 }), async (objects) => {
      await objects.lookUpPresence({ serviceAccount: account });
      return true;
    });
  },

  async 'looks up a Secret that is newer than the watch'(client) {
    return stopping(createTokenObjects({ client, namespaces: [], rememberMs: 0 }), async (objects) => {
      await objects.lookUpPresence({ serviceAccount: account, secret: { name: 'tgt-1', uid: 'u' } });
      return true;
    });
  },

  async 'follows access rules'(client) {
    const watch = createRbacWatch({ client, onChange: () => undefined });
    return stopping(watch, async () => {
      await watch.synced();
      return rbacResources.every((resource) => watch.states().get(resource)?.phase === 'up');
    });
  },

  async 'reads the policy'(client) {
    return (await readConfigMap(client, { namespace, name: 'tier-to-group-mapping' })) !== undefined;
  },

  async 'follows the policy'(client) {
    const watch = watchConfigMap({
      client,
      namespace,
      name: 'tier-to-group-mapping',
      onChange: () => undefined,
    });
    return stopping(watch, async () => {
      await watch.settled();
      return watch.isUp();
    });
  },

  async 'follows the list of tiergate deny'(client) {
    const watch = createDeniedWatch({ client, namespace, onList: () => undefined });
    return stopping(watch, async () => {
      await watch.synced();
      return watch.state().phase === 'up';
    });
  },

  async 'tells of a refused policy'(client) {
    await createReportEvent(client)({
      namespace,
      name: 'tier-to-group-mapping',
      uid: String(Math.random()),
      resourceVersion: '1',
      reason: 'PolicyRefused',
      message: 'a test',
    });
    return true;
  },

  async 'denies, for whoever may'(client) {
    const store = createDeniedStore(client, namespace);
    await store.read();
    await admin().delete(`/api/v1/namespaces/${namespace}/configmaps/tiergate-denied`);
    const entry = { kind: 'user', value: 'u', reason: 'r', endsAtMs: Date.now() + 1_000 } as const;
    // To make it, then to change it.
    await store.change(entry, []);
    await store.change(entry, []);
    return true;
  },
};

const needs: Readonly<Record<string, string>> = {
  'tiergate-authorizer tokenreviews create': 'reviews a token',
  'tiergate-authorizer subjectaccessreviews create': 'reviews access',
  'tiergate-authorizer-tier serviceaccounts get': 'looks up an account that is newer than the watch',
  'tiergate-authorizer-tier serviceaccounts list': 'follows what tokens stand on',
  'tiergate-authorizer-tier serviceaccounts watch': 'follows what tokens stand on',
  'tiergate-authorizer-tier secrets get': 'looks up a Secret that is newer than the watch',
  'tiergate-authorizer-tier secrets list': 'follows what tokens stand on',
  'tiergate-authorizer-tier secrets watch': 'follows what tokens stand on',
  ...Object.fromEntries(
    rbacResources.flatMap((resource) =>
      ['list', 'watch'].map((verb) => [
        `tiergate-authorizer-rbac ${resource} ${verb}`,
        'follows access rules',
      ]),
    ),
  ),
  'tiergate-authorizer tier-to-group-mapping get': 'reads the policy',
  'tiergate-authorizer tier-to-group-mapping list': 'follows the policy',
  'tiergate-authorizer tier-to-group-mapping watch': 'follows the policy',
  'tiergate-authorizer tiergate-denied list': 'follows the list of tiergate deny',
  'tiergate-authorizer tiergate-denied watch': 'follows the list of tiergate deny',
  'tiergate-authorizer events create': 'tells of a refused policy',
  'tiergate-denier configmaps create': 'denies, for whoever may',
  'tiergate-denier tiergate-denied get': 'denies, for whoever may',
  'tiergate-denier tiergate-denied patch': 'denies, for whoever may',
};

const manifests = readManifests('authorizer-rbac.yaml');

const rights: readonly Right[] = manifests
  .filter((manifest): manifest is RoleManifest => 'rules' in manifest)
  .flatMap((role) =>
    role.rules.flatMap((rule) =>
      rule.resources.flatMap((resource) =>
        rule.verbs.map((verb) => ({
          role,
          rule,
          resource,
          verb,
          right: `${role.metadata.name} ${rule.resourceNames?.[0] ?? resource} ${verb}`,
        })),
      ),
    ),
  );

let kube: KubeApiServer;
let client: KubernetesClient;

function admin() {
  return kube.client();
}

async function stopping<Part extends Stoppable>(
  part: Part,
  work: (part: Part) => Promise<boolean>,
): Promise<boolean> {
  try {
    return await work(part);
  } finally {
    part.stop();
  }
}

describe('the rights of the authorizer', () => {
  beforeAll(async () => {
    kube = await startKubeApiServer();
    await applyManifests(admin(), [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
      ...readManifests('issuer-tier-namespaces.yaml').filter(({ kind }) => kind === 'Namespace'),
      ...manifests,
      ...readManifests('authorizer-tier-rolebindings.yaml'),
      denierBinding,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'tier-to-group-mapping', namespace } },
    ]);
    const { body } = await admin().post(
      `/api/v1/namespaces/${namespace}/serviceaccounts/tiergate-authorizer/token`,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
    );
    const { token } = (body as { readonly status: { readonly token: string } }).status;
    client = createKubernetesClient({
      connection: createFixedConnection({ server: kube.url, caPem: kube.caPem, token: createSecret(token) }),
      timeoutMs: 5_000,
    });
  });

  afterAll(async () => {
    client.close();
    await kube.stop();
  });

  async function attempt(work: string): Promise<boolean> {
    try {
      return (await works[work]?.(client)) === true;
    } catch {
      return false;
    }
  }

  test('every right has a work that needs it', () => {
    expect(Object.keys(needs).sort()).toEqual(rights.map(({ right }) => right).sort());
  });

  test.each(Object.keys(works))('are enough: it %s', async (work) => {
    await expect.poll(() => attempt(work), { timeout: 5_000 }).toBe(true);
  });

  test.each(rights)('are needed: without $right', async (removed) => {
    const work = needs[removed.right] ?? '';
    await replaceManifest(admin(), without(removed));
    try {
      await expect.poll(() => attempt(work), { timeout: 5_000, interval: 20 }).toBe(false);
    } finally {
      await replaceManifest(admin(), removed.role);
    }
    await expect.poll(() => attempt(work), { timeout: 5_000, interval: 20 }).toBe(true);
  });
});

/** For the test, the authorizer may do what an operator may. */
const denierBinding = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'RoleBinding',
  metadata: { name: 'tiergate-denier', namespace },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'tiergate-denier' },
  subjects: [{ kind: 'ServiceAccount', name: 'tiergate-authorizer', namespace }],
};

function without({ role, rule, resource, verb }: Right): RoleManifest {
  const rules = role.rules.flatMap((other) => {
    if (other !== rule) return [other];
    const rest = rule.resources.filter((name) => name !== resource);
    const verbs = rule.verbs.filter((word) => word !== verb);
    return [
      ...(rest.length > 0 ? [{ ...rule, resources: rest }] : []),
      // A rule without verbs is no rule to the API server.
      ...(verbs.length > 0 ? [{ ...rule, resources: [resource], verbs }] : []),
    ];
  });
  return { ...role, rules };
}
