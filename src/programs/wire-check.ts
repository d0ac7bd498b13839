import { randomUUID } from 'node:crypto';
import { type AccessGranted, createCheckAccess } from '../check/access.ts';
import { type Check, type CheckStages, createCheck } from '../check/check.ts';
import { createReadCredential } from '../check/credential.ts';
import type { CheckDenied } from '../check/denied-list.ts';
import type { Explain } from '../check/explain.ts';
import { type AccessChanged, createForgetAccess } from '../check/forget-access.ts';
import { createIdentify, createTokenKey, principalLifetime } from '../check/identity.ts';
import { createCheckConcurrency } from '../check/concurrency.ts';
import { createKeepPrincipal } from '../check/keep-principal.ts';
import { createCheckLimit } from '../check/limit.ts';
import { createReadModel } from '../check/model.ts';
import { isDenied } from '../check/outcome.ts';
import { createCheckPresence } from '../check/presence.ts';
import type { Principal } from '../check/principal.ts';
import { createReviewBudget, type SpendBudget } from '../check/review-budget.ts';
import { createReviewCache, type ReviewCacheOptions } from '../check/review-cache.ts';
import { createReadRoute } from '../check/route.ts';
import { createSubjectOf } from '../check/subject.ts';
import { createAssignTier } from '../check/tier.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import type { SignatureVerifier } from '../kubernetes/jwks.ts';
import { createAuthorize } from '../kubernetes/subject-access-review.ts';
import { createAuthenticate } from '../kubernetes/token-review.ts';
import type { Policy } from '../policy/policy.ts';
import type { Config } from '../process/config.ts';
import type { Metrics, ReviewKind, ReviewResult } from '../process/metrics.ts';
import type { Tracing } from '../process/tracing.ts';
import { observedReview } from '../process/observed-review.ts';
import type { TransportMetrics } from '../process/transport-metrics.ts';
import type { BudgetKind } from '../process/protection-metrics.ts';
import { readDemand } from '../settle/demand.ts';
import { createIsTierNamespace } from './asked-by-name.ts';
import type { AuthorizerHealth } from './authorizer-health.ts';
import type { Counters } from './connect-counters.ts';
import type { Accounts } from './start-accounts.ts';
import { wireExplain } from './wire-explain.ts';

export interface CheckParts {
  readonly config: Config;
  readonly policy: () => Policy;
  readonly client: KubernetesClient;
  /** Absent: signatures are left to the TokenReview. */
  readonly keys: SignatureVerifier | undefined;
  readonly accounts: Accounts;
  readonly checkDenied: CheckDenied;
  /** Whether changes of access rules go unheard that were heard before. */
  readonly isRbacDown: () => boolean;
  readonly counters: Counters;
  readonly metrics: Metrics;
  readonly observeSlot: TransportMetrics['observeSlot'];
  /** Absent: no traces are sent, and nothing of them is on a request's way. */
  readonly tracing?: Tracing | undefined;
  readonly health: AuthorizerHealth;
}

/** Stores of denials are small: a flood of bad tokens must not cost memory. */
const maxDenials = 10_000;

export interface WiredCheck {
  readonly check: Check;
  /** What it consists of. */
  readonly stages: CheckStages;
  /** What Check would say of a request, and why; nobody pays for it who is not explained to. */
  readonly explain: Explain;
  readonly accessChanged: AccessChanged;
}

/** Systems → ports → stages → Check. */
export function wireCheck(parts: CheckParts): WiredCheck {
  const { config, policy, client, keys, accounts, counters, metrics, health } = parts;
  const { credential, identity, access, model } = config;
  const now = Date.now;
  const isTierNamespace = createIsTierNamespace(config.instance);
  const observed = (kind: ReviewKind) => ({
    kind,
    observe(of: ReviewKind, result: ReviewResult, seconds: number) {
      metrics.observeReview(of, result, seconds);
      if (result === 'allowed' || result === 'denied') health.ready('kubernetes');
      else health.degraded('kubernetes', `reviews fail: ${result}; known answers go on for a while`);
    },
    resultOf: (answer: object | boolean) =>
      answer === false || (typeof answer === 'object' && isDenied(answer)) ? 'denied' : 'allowed',
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
    // While a watch is down, nobody would tell of the end of what a token stands on.
    maxAgeMs: ({ serviceAccount }) =>
      serviceAccount !== undefined &&
      isTierNamespace(serviceAccount.namespace) &&
      !accounts.isFollowed(serviceAccount.namespace)
        ? identity.watchDownTtlMs
        : Number.POSITIVE_INFINITY,
  });
  const grants = createReviewCache<AccessGranted>({
    ...memory('access'),
    ttlMs: () => access.allowTtlMs,
    denialTtlMs: access.denyTtlMs,
    staleMs: () => identity.staleIfErrorMs,
    maxAgeMs: () => (parts.isRbacDown() ? identity.watchDownTtlMs : Number.POSITIVE_INFINITY),
  });
  metrics.trackCacheEntries('identity', principals.size);
  metrics.trackCacheEntries('access', grants.size);

  const budget = (kind: BudgetKind) => {
    const { spend: spendIt, ...figures } = createReviewBudget({
      ...config.reviews,
      maxWaitMs: config.reviews.timeoutMs,
      now,
      observe: metrics.budgetObserver(kind),
    });
    metrics.trackBudget(kind, figures);
    health.show(`budget ${kind}`, () => ({ inFlight: figures.inFlight(), queued: figures.queued() }));
    const { tracing } = parts;
    if (tracing === undefined) return spendIt;
    // From before the wait for its turn, which is a part of what a request waits for.
    const spend: SpendBudget = (source, review) => tracing.span(kind, () => spendIt(source, review));
    return spend;
  };

  const identityStage = {
    screen: {
      audience: identity.audience,
      issuers: () => keys?.issuers(),
      ...(keys !== undefined && { isOwnKey: keys.isOwnKey }),
      opaqueTokens: credential.opaqueTokens,
    },
    ...(keys !== undefined && { verifySignature: keys.verify }),
    authenticate: observedReview(
      createAuthenticate({ client, audience: identity.audience }),
      observed('token_review'),
    ),
    spend: budget('token_review'),
    cache: principals,
    keyOf: createTokenKey(),
    keep: createKeepPrincipal(access.extraKeys),
    now,
  };
  const presence = {
    isTierNamespace,
    find: accounts.findPresence,
    lookUp: observedReview(accounts.lookUpPresence, observed('presence')),
    spend: budget('presence'),
    now,
  };
  const accessStage = {
    authorize: observedReview(createAuthorize({ client, ...access }), observed('subject_access_review')),
    spend: budget('subject_access_review'),
    cache: grants,
    extraKeys: access.extraKeys,
    now,
  };
  const groupsOf = ({ serviceAccount, groups }: Principal) =>
    serviceAccount !== undefined && isTierNamespace(serviceAccount.namespace)
      ? accounts.findGroups(serviceAccount)
      : groups;
  const stages: CheckStages = {
    readRoute: createReadRoute(model),
    readCredential: createReadCredential(credential),
    identify: createIdentify(identityStage),
    checkPresence: createCheckPresence(presence),
    subjectOf: createSubjectOf({ isTierNamespace, findOwner: accounts.findOwner, now }),
    checkDenied: parts.checkDenied,
    assignTier: createAssignTier(policy),
    readModel: createReadModel(model),
    checkAccess: createCheckAccess(accessStage),
    checkLimit: createCheckConcurrency({
      slots: counters.slots,
      checkLimit: createCheckLimit({
        policy,
        ...counters,
        groupsOf,
        newId: randomUUID,
        readTokenDemand: readDemand,
        now,
      }),
      now,
      observe: parts.observeSlot,
    }),
  };
  const check = createCheck(stages, { deadlineMs: config.check.deadlineMs, now });
  const explain = wireExplain({
    config,
    policy,
    stages,
    presence,
    counters,
    groupsOf,
    identity: identityStage,
    access: accessStage,
  });
  const accessChanged = createForgetAccess({
    forget: grants.forget,
    after: (delayMs, call) => void setTimeout(call, delayMs).unref(),
  });
  return { check, stages, explain, accessChanged };
}

/** Names of the headers that some stage reads, besides those of the credential. */
export function headersRead({ model }: Config): readonly string[] {
  return [
    ...(model.header === undefined ? [] : [model.header]),
    ...(model.cors ? ['origin', 'access-control-request-method'] : []),
  ];
}
