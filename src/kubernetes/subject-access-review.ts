import type { AccessQuestion, Authorize } from '../check/access.ts';
import { denied } from '../check/outcome.ts';
import { malformed } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';

/** `authorization.k8s.io/v1` ResourceAttributes: what is to be done to what. */
export interface ResourceAttributes {
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** Who wants to. The API server takes exactly these groups and looks nothing up. */
export type Asker = Pick<AccessQuestion, 'user' | 'uid' | 'groups' | 'extra'>;

/**
 * One SubjectAccessReview. False: no rule allows it. Throws DependencyError: nobody could tell. An authorizer's
 * `evaluationError` beside a no stays a no: one RoleBinding to a missing Role would make each denial of its
 * namespace an outage.
 */
export type ReviewAccess = (
  asker: Asker,
  attributes: ResourceAttributes,
  signal?: AbortSignal,
) => Promise<boolean>;

const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';

/** Needs `create` on `subjectaccessreviews.authorization.k8s.io` (`system:auth-delegator` has it). */
export function createReviewAccess({
  client,
}: {
  readonly client: Pick<KubernetesClient, 'request'>;
}): ReviewAccess {
  return async ({ user, uid, groups, extra }, resourceAttributes, signal) => {
    const answer = await client.request({
      method: 'POST',
      path,
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user, uid, groups, extra, resourceAttributes },
      },
      idempotent: true,
      ...(signal !== undefined && { signal }),
    });
    const status = isRecord(answer.body) ? answer.body['status'] : undefined;
    if (answer.status >= 300 || !isRecord(status) || typeof status['allowed'] !== 'boolean') {
      throw malformed(`SubjectAccessReview: HTTP ${answer.status}`);
    }
    return status['allowed'] && status['denied'] !== true;
  };
}

export interface AuthorizeOptions {
  readonly client: Pick<KubernetesClient, 'request'>;
  /** Of the model's resource: `serving.kserve.io`. */
  readonly group: string;
  /** `llminferenceservices` */
  readonly resource: string;
  /** `post`: no verb of Kubernetes, so that whoever may use a model may not read or change it. */
  readonly verb: string;
}

/** Authorize by SubjectAccessReview. The denial is the same for a forbidden model and for one that is not there. */
export function createAuthorize(options: AuthorizeOptions): Authorize {
  const { client, group, resource, verb } = options;
  const reviewAccess = createReviewAccess({ client });
  return async (question) => {
    const { namespace, name } = question;
    const isAllowed = await reviewAccess(question, { group, resource, verb, namespace, name });
    if (isAllowed) return { namespace };
    return denied('model_forbidden', 'You may not use this model, or there is no such model.');
  };
}
