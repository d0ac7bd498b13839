import type { NamedManifest } from './objects.ts';

const rbacApiVersion = 'rbac.authorization.k8s.io/v1';
const rbacGroup = 'rbac.authorization.k8s.io';

/** What exists in a cluster before anybody has made anything: of that, what this server can give a meaning. */
export const bootstrapObjects: readonly NamedManifest[] = [
  namespace('default'),
  namespace('kube-node-lease'),
  namespace('kube-public'),
  namespace('kube-system'),

  clusterRole('cluster-admin', [
    { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
    { nonResourceURLs: ['*'], verbs: ['*'] },
  ]),
  clusterRoleBinding('cluster-admin', 'system:masters'),

  /** For whoever asks about others' tokens and access. Nobody has it until bound. */
  clusterRole('system:auth-delegator', [
    { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
    { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
  ]),

  clusterRole('system:service-account-issuer-discovery', [
    { nonResourceURLs: ['/.well-known/openid-configuration', '/openid/v1/jwks'], verbs: ['get'] },
  ]),
  clusterRoleBinding('system:service-account-issuer-discovery', 'system:serviceaccounts'),

  clusterRole('system:discovery', [
    { nonResourceURLs: ['/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*'], verbs: ['get'] },
  ]),
  clusterRoleBinding('system:discovery', 'system:authenticated'),

  clusterRole('system:public-info-viewer', [
    { nonResourceURLs: ['/healthz', '/livez', '/readyz', '/version', '/version/'], verbs: ['get'] },
  ]),
  clusterRoleBinding('system:public-info-viewer', 'system:authenticated'),
];

function namespace(name: string): NamedManifest {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

function clusterRole(name: string, rules: readonly object[]): NamedManifest {
  return { apiVersion: rbacApiVersion, kind: 'ClusterRole', metadata: { name }, rules };
}

/** Binds the ClusterRole of the same name to a group. */
function clusterRoleBinding(name: string, group: string): NamedManifest {
  return {
    apiVersion: rbacApiVersion,
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: rbacGroup, kind: 'ClusterRole', name },
    subjects: [{ apiGroup: rbacGroup, kind: 'Group', name: group }],
  };
}
