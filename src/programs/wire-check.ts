import { type AccessGranted, createCheckAccess } from '../check/access.ts';
import { type Check, createCheck } from '../check/check.ts';
import { createReadCredential } from '../check/credential.ts';
import { createIdentify, principalLifetime } from '../check/identity.ts';
import { type Consume, createCheckLimit } from '../check/limit.ts';
import { createReadModel } from '../check/model.ts';
import { isDenied } from '../check/outcome.ts';
import { createReviewCache, type ReviewCacheOptions } from '../check/review-cache.ts';
import { createReadRoute } from '../check/route.ts';
import { createSubjectOf, type FindOwner } from '../check/subject.ts';
import { createAssignTier } from '../check/tier.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import type { SignatureVerifier } from '../kubernetes/jwks.ts';
import { createAuthorize } from '../kubernetes/subject-access-review.ts';
import { createAuthenticate } from '../kubernetes/token-review.ts';
import { tierNamespace } from '../policy/create-policy.ts';
import type { Policy } from '../policy/policy.ts';
import type { Config } from '../process/config.ts';
import type { Metrics, ReviewKind, ReviewResult } from '../process/metrics.ts';
import { observedReview } from '../process/observed-review.ts';
import type { AuthorizerHealth } from './authorizer-health.ts';

export interface CheckParts {
  readonly config: Config;
  readonly policy: () => Policy;
  readonly client: KubernetesClient;
  /** Absent: signatures are left to the TokenReview. */
  readonly keys: SignatureVerifier | undefined;
  readonly findOwner: FindOwner;
  readonly consume: Consume;
  readonly metrics: Metrics;
  readonly health: AuthorizerHealth;
}

/** Stores of denials are small: a flood of bad tokens must not cost memory. */
const maxDenials = 10_000;

/** Systems → ports → stages → Check. */
export function wireCheck(parts: CheckParts): Check {
  const { config, policy, client, keys, findOwner, consume, metrics, health } = parts;
  const { credential, identity, access, model } = config;
  const now = Date.now;
  const observed = (kind: ReviewKind) => ({
    kind,
    observe(of: ReviewKind, result: ReviewResult, seconds: number) {
      metrics.observeReview(of, result, seconds);
      if (result === 'allowed' || result === 'denied') health.ready('kubernetes');
      else health.degraded('kubernetes', `reviews fail: ${result}; known answers go on for a while`);
    },
    resultOf: (answer: object) => (isDenied(answer) ? 'denied' : 'allowed'),
    elapsed: () => performance.now(),
  });
  const memory = (cache: 'identity' | 'access') =>
    ({
      maxEntries: identity.maxEntries,
      maxDenials,
      random: Math.random,
      now,
      observe: metrics.cacheObserver(cache),
    }) satisfies Partial<ReviewCacheOptions<object>>;

  const principals = createReviewCache({
    ...memory('identity'),
    ...principalLifetime(identity.ttlMs, identity.staleIfErrorMs),
    denialTtlMs: identity.negativeTtlMs,
  });
  const grants = createReviewCache<AccessGranted>({
    ...memory('access'),
    ttlMs: () => access.allowTtlMs,
    denialTtlMs: access.denyTtlMs,
    staleMs: () => identity.staleIfErrorMs,
  });
  metrics.trackCacheEntries('identity', principals.size);
  metrics.trackCacheEntries('access', grants.size);

  return createCheck(
    {
      readRoute: createReadRoute(model),
      readCredential: createReadCredential(credential),
      identify: createIdentify({
        screen: {
          audience: identity.audience,
          issuers: () => keys?.issuers(),
          opaqueTokens: credential.opaqueTokens,
        },
        ...(keys !== undefined && { verifySignature: keys.verify }),
        authenticate: observedReview(
          createAuthenticate({ client, audience: identity.audience }),
          observed('token_review'),
        ),
        cache: principals,
        now,
      }),
      subjectOf: createSubjectOf({
        isTierNamespace: createIsTierNamespace(config.instance, policy),
        findOwner,
        now,
      }),
      assignTier: createAssignTier(policy),
      readModel: createReadModel(model),
      checkAccess: createCheckAccess({
        authorize: observedReview(createAuthorize({ client, ...access }), observed('subject_access_review')),
        cache: grants,
        extraKeys: access.extraKeys,
        now,
      }),
      checkLimit: createCheckLimit({ consume, now }),
    },
    { deadlineMs: config.check.deadlineMs, now },
  );
}

/** Names of the headers that some stage reads, besides those of the credential. */
export function headersRead({ model }: Config): readonly string[] {
  return [
    ...(model.header === undefined ? [] : [model.header]),
    ...(model.cors ? ['origin', 'access-control-request-method'] : []),
  ];
}

function createIsTierNamespace(instance: string, policy: () => Policy): (namespace: string) => boolean {
  return (namespace) => policy().tiers.some(({ name }) => namespace === tierNamespace(instance, name));
}
