import { tierNamespace } from '../policy/create-policy.ts';
import type { KubernetesApi } from './kubernetes-api/server.ts';
import type { NamedManifest } from './kubernetes-api/objects.ts';

/** A person of the sandbox's cluster; the bearer token is the name. */
export interface SandboxUser {
  readonly token: string;
  readonly username: string;
  readonly groups: readonly string[];
  /** For the start text, besides the tier. */
  readonly words?: string;
}

/** Whom the lines to paste are about: in no group, and so of the tier of everybody. */
export const bob: SandboxUser = { token: 'sandbox-bob', username: 'bob@example.com', groups: [] };

/** Who may log in to the console, manage others' tokens, and boost. */
export const admin: SandboxUser = {
  token: 'sandbox-admin',
  username: 'admin@example.com',
  groups: ['tiergate-admins'],
  words: 'may administer',
};

export const sandboxUsers: readonly SandboxUser[] = [
  { token: 'sandbox-alice', username: 'alice@example.com', groups: ['tier-premium-users'] },
  bob,
  { token: 'sandbox-carol', username: 'carol@example.com', groups: ['tier-enterprise-users'] },
  admin,
];

/** The policy document of the sandbox, in the shape of an existing `tier-to-group-mapping`. */
export const sandboxPolicy = `# Tiers of the sandbox. The highest level wins.
- name: free
  displayName: Free
  level: 0
  groups: [tier-free-users, system:authenticated]
  limits: {requests: [{limit: 5, window: 2m}], tokens: [{limit: 10000, window: 2m}]}
- name: premium
  displayName: Premium
  level: 10
  groups: [tier-premium-users]
  limits: {requests: [{limit: 20, window: 2m}], tokens: [{limit: 50000, window: 2m}]}
- name: enterprise
  displayName: Enterprise
  level: 20
  groups: [tier-enterprise-users]
  limits: {requests: [{limit: 50, window: 2m}], tokens: [{limit: 200000, window: 2m}]}
`;

interface SandboxModel {
  readonly name: string;
  /** Tiers that may use it; undefined is every tier. */
  readonly tiers: readonly string[] | undefined;
}

export const modelNamespace = 'llm';

/** The model that not everybody may use. */
export const largeModel: SandboxModel & { readonly tiers: readonly string[] } = {
  name: 'qwen-large',
  tiers: ['premium', 'enterprise'],
};

const models: readonly SandboxModel[] = [{ name: 'llama', tiers: undefined }, largeModel];

const rbac = 'rbac.authorization.k8s.io';
const rbacVersion = `${rbac}/v1`;

/** The API server's users for tiergate's own programs, each with the rights of deploy/base and no more. */
export const ownUsers = {
  authorizer: { token: 'sandbox-authorizer', username: 'system:serviceaccount:tiergate:tiergate-authorizer' },
  issuer: { token: 'sandbox-issuer', username: 'system:serviceaccount:tiergate:tiergate-issuer' },
} as const;

/** Makes the sandbox's cluster what an installation finds. */
export function seedCluster(api: KubernetesApi, instance: string, tiers: readonly string[]): void {
  for (const object of clusterObjects(instance, tiers)) api.apply(object);
}

/** Namespaces, models, tier namespaces and rights, as an installation would have made them. */
export function clusterObjects(instance: string, tiers: readonly string[]): readonly NamedManifest[] {
  return [
    ...['tiergate', modelNamespace].map((namespace) => namespaceNamed(namespace)),
    ...tiers.flatMap((tier) => tierObjects(instance, tier)),
    ...models.flatMap((model) => modelObjects(model, instance, tiers)),
    ...clusterRights(),
  ];
}

function tierObjects(instance: string, tier: string): readonly NamedManifest[] {
  const namespace = tierNamespace(instance, tier);
  const labels = {
    'maas.opendatahub.io/instance': instance,
    'maas.opendatahub.io/tier': tier,
    'maas.opendatahub.io/tier-namespace': 'true',
  };
  return [namespaceNamed(namespace, labels), ...tierRights(namespace)];
}

/** Says of every model that it is ready, and where: what its controller does in an installation. */
export function publishModels(api: KubernetesApi, gatewayUrl: string): void {
  for (const { name } of models) {
    api.apply({
      apiVersion: 'serving.kserve.io/v1alpha1',
      kind: 'LLMInferenceService',
      metadata: { name, namespace: modelNamespace },
      spec: { model: { name } },
      status: {
        observedGeneration: 1,
        url: `${gatewayUrl}/${modelNamespace}/${name}`,
        conditions: [{ type: 'Ready', status: 'True' }],
      },
    });
  }
}

function namespaceNamed(name: string, labels: Readonly<Record<string, string>> = {}): NamedManifest {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function tierRights(namespace: string): readonly NamedManifest[] {
  return [
    role(namespace, 'tiergate-authorizer', [
      { apiGroups: [''], resources: ['serviceaccounts', 'secrets'], verbs: ['get', 'list', 'watch'] },
    ]),
    roleBinding(namespace, 'tiergate-authorizer', [userSubject(ownUsers.authorizer.username)]),
    role(namespace, 'tiergate-issuer', [
      {
        apiGroups: [''],
        resources: ['serviceaccounts'],
        verbs: ['get', 'list', 'create', 'patch', 'delete'],
      },
      { apiGroups: [''], resources: ['secrets'], verbs: ['list', 'create', 'patch', 'delete'] },
      { apiGroups: [''], resources: ['serviceaccounts/token'], verbs: ['create'] },
    ]),
    roleBinding(namespace, 'tiergate-issuer', [userSubject(ownUsers.issuer.username)]),
  ];
}

function modelObjects(
  { name, tiers: only }: SandboxModel,
  instance: string,
  tiers: readonly string[],
): readonly NamedManifest[] {
  const access = `${name}-model-post-access`;
  const subjects = (only ?? tiers).map((tier) => ({
    kind: 'Group',
    apiGroup: rbac,
    name: `system:serviceaccounts:${tierNamespace(instance, tier)}`,
  }));
  return [
    {
      apiVersion: 'serving.kserve.io/v1alpha1',
      kind: 'LLMInferenceService',
      metadata: { name, namespace: modelNamespace },
      spec: { model: { name } },
    },
    role(modelNamespace, access, [
      {
        apiGroups: ['serving.kserve.io'],
        resources: ['llminferenceservices'],
        resourceNames: [name],
        verbs: ['post'],
      },
    ]),
    roleBinding(modelNamespace, access, subjects),
  ];
}

function clusterRights(): readonly NamedManifest[] {
  const clusterRole = (name: string, rules: readonly object[]): NamedManifest => ({
    apiVersion: rbacVersion,
    kind: 'ClusterRole',
    metadata: { name },
    rules,
  });
  const clusterRoleBinding = (name: string, to: string, subjects: readonly object[]): NamedManifest => ({
    apiVersion: rbacVersion,
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: to },
    subjects,
  });
  const programs = [userSubject(ownUsers.authorizer.username), userSubject(ownUsers.issuer.username)];
  return [
    role('tiergate', 'tiergate-authorizer', [
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: ['tier-to-group-mapping'],
        verbs: ['get', 'list', 'watch'],
      },
      { apiGroups: [''], resources: ['events'], verbs: ['create'] },
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: ['tiergate-denied'],
        verbs: ['list', 'watch'],
      },
    ]),
    roleBinding('tiergate', 'tiergate-authorizer', [userSubject(ownUsers.authorizer.username)]),
    role('tiergate', 'tiergate-issuer', [
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        resourceNames: ['tiergate-issuer'],
        verbs: ['get', 'update'],
      },
    ]),
    roleBinding('tiergate', 'tiergate-issuer', [userSubject(ownUsers.issuer.username)]),
    clusterRole('tiergate-issuer', [
      { apiGroups: [''], resources: ['namespaces'], verbs: ['list'] },
      { apiGroups: ['serving.kserve.io'], resources: ['llminferenceservices'], verbs: ['list', 'watch'] },
    ]),
    clusterRoleBinding('tiergate-issuer', 'tiergate-issuer', [userSubject(ownUsers.issuer.username)]),
    clusterRole('tiergate-authorizer', [
      {
        apiGroups: [rbac],
        resources: ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'],
        verbs: ['list', 'watch'],
      },
    ]),
    clusterRoleBinding('tiergate-authorizer', 'tiergate-authorizer', [
      userSubject(ownUsers.authorizer.username),
    ]),
    clusterRoleBinding('tiergate-reviews', 'system:auth-delegator', programs),
    clusterRoleBinding('tiergate-keys', 'system:service-account-issuer-discovery', programs),
    clusterRole('tiergate-admin', [
      { apiGroups: ['tiergate.dev'], resources: ['tokens', 'usage', 'console'], verbs: ['*'] },
    ]),
    clusterRoleBinding('tiergate-admin', 'tiergate-admin', [
      { kind: 'Group', apiGroup: rbac, name: 'tiergate-admins' },
    ]),
  ];
}

function role(namespace: string, name: string, rules: readonly object[]): NamedManifest {
  return { apiVersion: rbacVersion, kind: 'Role', metadata: { name, namespace }, rules };
}

function roleBinding(namespace: string, name: string, subjects: readonly object[]): NamedManifest {
  return {
    apiVersion: rbacVersion,
    kind: 'RoleBinding',
    metadata: { name, namespace },
    roleRef: { apiGroup: rbac, kind: 'Role', name },
    subjects,
  };
}

function userSubject(name: string) {
  return { kind: 'User', apiGroup: rbac, name };
}

/** A token that was good once: signed with the cluster's own key, for a person's account, and past its end. */
export async function issueExpiredToken(api: KubernetesApi, { instance, audience, tier }: ExpiredTokenOrder) {
  const namespace = tierNamespace(instance, tier);
  const name = 'somebody-long-gone';
  api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } });
  const dayMs = 86_400_000;
  return api.issueToken({
    namespace,
    name,
    audiences: [audience],
    issuedAtMs: Date.now() - 2 * dayMs,
    expirationSeconds: 3600,
  });
}

export interface ExpiredTokenOrder {
  readonly instance: string;
  readonly audience: string;
  readonly tier: string;
}
