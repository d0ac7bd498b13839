import type { KubernetesClient } from './client.ts';
import { createReviewToken } from './token-review.ts';

export interface AudienceWarningOptions {
  readonly client: Pick<KubernetesClient, 'request' | 'ownToken'>;
  /** Ours. */
  readonly audience: string;
}

/**
 * A start-up check: a sentence for the operator if the API server lists our audience among its own
 * (`--api-audiences`), else undefined. Then each access token would open the Kubernetes API too, and each opaque
 * cluster token the gateway. Throws DependencyError when it can't be told.
 *
 * It reviews the token by which the API server knows *us* for our audience. That token was made for the API server,
 * by an API server that puts all of its audiences into a ServiceAccount's token, and holds opaque tokens good for all
 * of them: being good for ours as well means that ours is one. Needs no right beyond TokenReview. Without a
 * token (client certificate), and until a token of before the last change of that flag is renewed, nothing is found.
 */
export async function warnAboutAudience(options: AudienceWarningOptions): Promise<string | undefined> {
  const { client, audience } = options;
  const own = await client.ownToken();
  if (own === undefined) return undefined;
  const reviewed = await createReviewToken({ client })(own, [audience]);
  if (reviewed === undefined || !reviewed.audiences.includes(audience)) return undefined;
  return (
    `The API server takes the audience ${JSON.stringify(audience)} for one of its own (--api-audiences): ` +
    'access tokens open the Kubernetes API as well, and tokens that were not made for this gateway pass here. ' +
    'Take it out of that list; access tokens go on working without it.'
  );
}
