import type { Authenticate } from './authentication.ts';
import { fieldsOf } from './objects.ts';
import { readReview, readText, readTexts } from './review-body.ts';
import { badRequest } from './status.ts';

const tokenReview = { group: 'authentication.k8s.io', kind: 'TokenReview' } as const;

/**
 * Answers a TokenReview. A token that is not good is an answer too: `authenticated` is absent then and
 * `status.error` says why. Without audiences in the spec the server's own are meant.
 */
export async function reviewToken(
  body: unknown,
  authenticate: Authenticate,
  apiAudiences: readonly string[],
): Promise<unknown> {
  const spec = fieldsOf(readReview(tokenReview, body)['spec']);
  const token = readText(spec, 'token');
  if (token === '') throw badRequest('token is required for TokenReview in authentication');
  const asked = readTexts(spec, 'audiences');
  const answer = await authenticate(token, asked.length === 0 ? apiAudiences : asked);
  return {
    kind: tokenReview.kind,
    apiVersion: `${tokenReview.group}/v1`,
    metadata: {},
    spec: { token, ...(asked.length === 0 ? {} : { audiences: asked }) },
    status: answer.authenticated
      ? { authenticated: true, user: answer.user, audiences: answer.audiences }
      : { user: {}, error: answer.error },
  };
}
