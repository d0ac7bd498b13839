import type { Authenticate } from '../check/identity.ts';
import { denied } from '../check/outcome.ts';
import type { ReviewedUser } from '../check/principal.ts';
import type { Secret } from '../secret.ts';
import { malformed } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord, isStrings, type JsonRecord } from './json-shape.ts';

export interface ReviewedToken {
  readonly user: ReviewedUser;
  /** Of the audiences that were asked for, those that the token is good for. */
  readonly audiences: readonly string[];
}

/**
 * One TokenReview (`authentication.k8s.io/v1`) for the audiences. Undefined: the API server does not call the
 * token authenticated for any of them; why not, it tells only in words. Throws DependencyError: nobody could tell.
 */
export type ReviewToken = (
  token: Secret,
  audiences: readonly string[],
  signal?: AbortSignal,
) => Promise<ReviewedToken | undefined>;

const path = '/apis/authentication.k8s.io/v1/tokenreviews';

/** Needs `create` on `tokenreviews.authentication.k8s.io` (ClusterRole `system:auth-delegator` has it). */
export function createReviewToken({
  client,
}: {
  readonly client: Pick<KubernetesClient, 'request'>;
}): ReviewToken {
  return async (token, audiences, signal) => {
    const answer = await client.request({
      method: 'POST',
      path,
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token: token.reveal(), audiences },
      },
      idempotent: true,
      ...(signal !== undefined && { signal }),
    });
    const status = isRecord(answer.body) ? answer.body['status'] : undefined;
    if (answer.status >= 300 || !isRecord(status)) throw malformed(`TokenReview: HTTP ${answer.status}`);
    if (status['authenticated'] !== true) return undefined;
    return { user: readUser(status['user']), audiences: readAudiences(status['audiences']) };
  };
}

export interface AuthenticateOptions {
  readonly client: Pick<KubernetesClient, 'request'>;
  /** Ours. Must not be among the API server's own (`--api-audiences`): audience-warning.ts. */
  readonly audience: string;
}

/**
 * Authenticate by TokenReview. `authenticated` alone is not enough: an authenticator that knows no audiences
 * vouches for the API server's own only, and says so by not echoing ours.
 */
export function createAuthenticate({ client, audience }: AuthenticateOptions): Authenticate {
  const reviewToken = createReviewToken({ client });
  return async (token) => {
    const reviewed = await reviewToken(token, [audience]);
    if (reviewed === undefined) return denied('token_rejected', 'The access token was not accepted.');
    if (reviewed.audiences.includes(audience)) return reviewed.user;
    return denied('wrong_audience', 'The access token is not meant for this gateway.');
  };
}

function readUser(user: unknown): ReviewedUser {
  if (!isRecord(user)) throw malformed('TokenReview: authenticated, but as nobody');
  const { username, uid = '', groups = [], extra = {} } = user as JsonRecord & Partial<ReviewedUser>;
  if (typeof username !== 'string' || username === '' || typeof uid !== 'string') {
    throw malformed('TokenReview: a user without a name');
  }
  if (!isStrings(groups) || !isRecord(extra) || !Object.values(extra).every(isStrings)) {
    throw malformed('TokenReview: groups or extra of a shape that its API does not have');
  }
  return { username, uid, groups, extra };
}

function readAudiences(audiences: unknown): readonly string[] {
  if (audiences === undefined || audiences === null) return [];
  if (!isStrings(audiences)) throw malformed('TokenReview: audiences of a shape that its API does not have');
  return audiences;
}
