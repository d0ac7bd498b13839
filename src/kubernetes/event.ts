import { createHash } from 'node:crypto';
import { malformed, statusMessage } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import type { ConfigMapName } from './config-map.ts';

/** Something that whoever looks at a ConfigMap should know (`kubectl describe`). */
export interface ConfigMapEvent extends ConfigMapName {
  readonly uid: string;
  readonly resourceVersion: string;
  /** One word in camel case: `PolicyRefused`. */
  readonly reason: string;
  /** Cut off after a kilobyte, as the API server wants it. */
  readonly message: string;
}

/**
 * Posts a warning about a ConfigMap. The name of the Event is made of what it says: however many replicas meet the same
 * document, there is one. Needs `create` on `events` there; throws DependencyError (`misconfigured` without it).
 */
export type ReportEvent = (event: ConfigMapEvent) => Promise<void>;

const maxMessageLength = 1000;

export function createReportEvent(
  client: Pick<KubernetesClient, 'request'>,
  now: () => number = Date.now,
): ReportEvent {
  return async ({ namespace, name, uid, resourceVersion, reason, message }) => {
    const said = createHash('sha256')
      .update(`${uid}\0${resourceVersion}\0${reason}\0${message}`)
      .digest('hex');
    const at = new Date(now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const answer = await client.request({
      method: 'POST',
      path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/events`,
      body: {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { namespace, name: `${name}.${said.slice(0, 16)}` },
        involvedObject: { apiVersion: 'v1', kind: 'ConfigMap', namespace, name, uid, resourceVersion },
        type: 'Warning',
        reason,
        message: message.slice(0, maxMessageLength),
        source: { component: 'tiergate' },
        firstTimestamp: at,
        lastTimestamp: at,
        count: 1,
      },
    });
    if (answer.status !== 201 && answer.status !== 409) throw malformed(`an Event: ${statusMessage(answer)}`);
  };
}
