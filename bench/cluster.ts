import { writeFileSync } from 'node:fs';
import { createKubernetesApi } from '../src/sandbox/kubernetes-api/server.ts';
import { clusterObjects, modelNamespace, ownUsers } from '../src/sandbox/seed.ts';
import { audience, type ClusterOrder, instance, modelName, personName } from './cluster-order.ts';

/**
 * The embedded Kubernetes API as a process of its own, with the models and people that are asked for. Writes the people's
 * access tokens, one a line, to the file that is named for them, says its URL, and serves.
 *
 *     node cluster.js ORDER-AS-JSON
 */
const order = JSON.parse(process.argv[2] ?? '{}') as ClusterOrder;
const api = createKubernetesApi({
  port: order.port,
  users: [{ ...ownUsers.authorizer, groups: [] }],
});
for (const object of clusterObjects(instance, order.tiers)) api.apply(object);
for (const object of accessObjects()) api.apply(object);

for (const { tier, subjects, tokensEach, file } of order.people) {
  const namespace = `${instance}-tier-${tier}`;
  const tokens: string[] = [];
  // Subjects are the people by name: each tier has its own.
  for (let person = 0; person < subjects; person += 1) {
    const name = `${tier}-${personName(person)}`;
    api.apply({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name, namespace, annotations: { 'tiergate.dev/user': `${name}@example.com` } },
    });
    for (let token = 0; token < tokensEach; token += 1) {
      tokens.push(
        await api.issueToken({ namespace, name, audiences: [audience], expirationSeconds: 86_400 }),
      );
    }
  }
  writeFileSync(file, tokens.join('\n'));
}
await api.start();
console.log('ready');

/** Everybody of these tiers may use every model but the one that nobody may. */
function accessObjects() {
  const metadata = { name: 'bench', namespace: modelNamespace };
  const apiGroup = 'rbac.authorization.k8s.io';
  return [
    {
      apiVersion: `${apiGroup}/v1`,
      kind: 'Role',
      metadata,
      rules: [
        {
          apiGroups: ['serving.kserve.io'],
          resources: ['llminferenceservices'],
          resourceNames: Array.from({ length: order.models }, (_, index) => modelName(index)),
          verbs: ['post'],
        },
      ],
    },
    {
      apiVersion: `${apiGroup}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup, kind: 'Role', name: metadata.name },
      subjects: order.tiers.map((tier) => ({
        kind: 'Group',
        apiGroup,
        name: `system:serviceaccounts:${instance}-tier-${tier}`,
      })),
    },
  ];
}
