import { setTimeout as pause } from 'node:timers/promises';

import type { ListTierNamespaces } from '../issue/account.ts';
import type { CreateTierNamespace } from '../issue/ensure-account.ts';
import { DependencyError } from '../dependency-error.ts';
import { malformed } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';
import { listMetadata, unexpected } from './list-objects.ts';
import { instanceLabel, tierLabels, tierNamespaceLabel } from './tier-labels.ts';

type Client = Pick<KubernetesClient, 'request'>;

/** Namespaces by label, so that one cannot be named into being a tier's. */
export function createListTierNamespaces(client: Client, instance: string): ListTierNamespaces {
  const selector = `${tierNamespaceLabel}=true,${instanceLabel}=${instance}`;
  return async () => {
    const namespaces = await listMetadata(client, '/api/v1/namespaces', selector);
    return namespaces.map(({ name }) => name);
  };
}

/** The ClusterRole that deploy/ ships: what the issuer may do, in the namespaces where it is bound. */
const tierRole = 'tiergate-issuer-tier';

/** How long RBAC may take to notice a binding, and how often we look. */
const rightsTimeoutMs = 3_000;
const rightsPollMs = 50;

/**
 * Makes a tier's namespace with its labels, binds our own Role there, and waits until the binding holds. Needs
 * `create` on namespaces and rolebindings and `bind` on that one ClusterRole; the ValidatingAdmissionPolicy of deploy/
 * keeps all of it inside tier namespaces.
 */
export function createCreateTierNamespace(client: Client, instance: string): CreateTierNamespace {
  return async (namespace, tier) => {
    await create(client, '/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace, labels: { ...tierLabels(instance, tier), [tierNamespaceLabel]: 'true' } },
    });
    await create(client, `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: tierRole, labels: tierLabels(instance, tier) },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: tierRole },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: await ownName(client) }],
    });
    const untilMs = Date.now() + rightsTimeoutMs;
    while (!(await holdsRights(client, namespace))) {
      if (Date.now() > untilMs) {
        throw new DependencyError('kubernetes', 'failed', {
          detail: `our Role in ${namespace} does not hold`,
        });
      }
      await pause(rightsPollMs);
    }
  };
}

/** Another replica may have been faster. */
async function create(client: Client, path: string, body: object): Promise<void> {
  const answer = await client.request({ method: 'POST', path, body });
  if (answer.status !== 201 && answer.status !== 409) throw unexpected(answer);
}

async function ownName(client: Client): Promise<string> {
  const answer = await client.request({
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
    idempotent: true,
  });
  const status = isRecord(answer.body) ? answer.body['status'] : undefined;
  const user = isRecord(status) ? status['userInfo'] : undefined;
  const name = isRecord(user) ? user['username'] : undefined;
  if (typeof name !== 'string') throw malformed('a SelfSubjectReview without a user name');
  return name;
}

async function holdsRights(client: Client, namespace: string): Promise<boolean> {
  const answer = await client.request({
    method: 'POST',
    path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { namespace, verb: 'create', resource: 'serviceaccounts' } },
    },
    idempotent: true,
  });
  const status = isRecord(answer.body) ? answer.body['status'] : undefined;
  return isRecord(status) && status['allowed'] === true;
}
