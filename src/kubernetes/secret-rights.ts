import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';
import { unexpected } from './list-objects.ts';

const verbs = ['get', 'list', 'create', 'update', 'delete'] as const;

/** What keeping documents as Secrets of a namespace needs and we may not do, in words. Every login may ask this about itself. */
export async function missingSecretRights(
  client: Pick<KubernetesClient, 'request'>,
  namespace: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const verb of verbs) {
    const answer = await client.request({
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: { namespace, verb, resource: 'secrets' } },
      },
      idempotent: true,
      signal,
    });
    const status = isRecord(answer.body) ? answer.body['status'] : undefined;
    if (answer.status !== 201 || !isRecord(status)) throw unexpected(answer);
    if (status['allowed'] !== true)
      missing.push(`${verb} on Secrets of namespace ${namespace} is not allowed`);
  }
  return missing;
}
