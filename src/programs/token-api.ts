import { randomBytes } from 'node:crypto';

import type { AccessGranted } from '../check/access.ts';
import type { ResetCounters, SetBoost } from '../check/boost.ts';
import type { Consume } from '../check/limit.ts';
import { denied } from '../check/outcome.ts';
import { createReviewBudget } from '../check/review-budget.ts';
import { createReviewCache } from '../check/review-cache.ts';
import { createAssignTier } from '../check/tier.ts';
import type { TokenApi } from '../http/token-api.ts';
import { createAdjustUsage } from '../issue/adjust-usage.ts';
import { createCheckMayAdminister } from '../issue/administer.ts';
import type { Audit } from '../issue/audit.ts';
import { type Caller, createCheckMayMint, createIdentifyCaller, type ReviewCaller } from '../issue/caller.ts';
import { createEnsureAccount } from '../issue/ensure-account.ts';
import { createListTokens } from '../issue/list-tokens.ts';
import { createMint } from '../issue/mint.ts';
import { createListModels, type ListServedModels } from '../issue/models.ts';
import { createEndAccounts, createRevokeToken } from '../issue/revoke.ts';
import { createReadUsage } from '../issue/usage.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { createServiceAccounts } from '../kubernetes/service-account.ts';
import { createAuthorize, createReviewAccess } from '../kubernetes/subject-access-review.ts';
import { createCreateTierNamespace, createListTierNamespaces } from '../kubernetes/tier-namespace.ts';
import { createRequestToken } from '../kubernetes/token-request.ts';
import { createReviewToken } from '../kubernetes/token-review.ts';
import { createTokenSecrets } from '../kubernetes/token-secret.ts';
import type { Policy } from '../policy/policy.ts';
import { sharedGroups } from '../policy/resolve.ts';

export interface TokenApiOptions {
  readonly client: KubernetesClient;
  readonly instance: string;
  /** Of access tokens: `<instance>-sa`. */
  readonly audience: string;
  /** Of the cluster's own tokens. */
  readonly clusterAudience: string;
  /** The issuer's own: where administrators' rights are asked about. */
  readonly namespace: string;
  readonly policy: () => Policy;
  readonly consume: Consume;
  readonly setBoost: SetBoost;
  readonly resetCounters: ResetCounters;
  readonly listServedModels: ListServedModels;
  /** What a model is to the cluster, and what using it is called. */
  readonly access: { readonly group: string; readonly resource: string; readonly verb: string };
  /** What callers together may ask of the API server, for who they are and which models they may use. */
  readonly reviews: {
    readonly concurrency: number;
    readonly perSecond: number;
    readonly queue: number;
    /** The longest wait for a turn, in milliseconds. */
    readonly timeoutMs: number;
  };
  readonly maxTokensPerUser: number;
  /** Namespaces whose ServiceAccounts may mint. */
  readonly serviceAccountNamespaces: readonly string[];
  /** Make a tier's namespace when it is first needed, instead of leaving it to installation. */
  readonly createNamespaces: boolean;
  readonly audit: Audit;
  readonly now: () => number;
}

/** Enough that one page of a console asks once, short enough that nobody notices. */
const callerTtlMs = 5_000;
const accessTtlMs = 60_000;
const denialTtlMs = 5_000;
const usageTimeoutMs = 2_000;

/** The token API on a cluster. */
export function createTokenApi(options: TokenApiOptions): TokenApi {
  const { client, instance, now } = options;
  const listTierNamespaces = createListTierNamespaces(client, instance);
  const accounts = createServiceAccounts(client, instance);
  const secrets = createTokenSecrets(client);
  const assignTier = createAssignTier(options.policy);
  const { perSecond, timeoutMs } = options.reviews;
  const { spend } = createReviewBudget({
    ...options.reviews,
    // One list may be long; turns are taken source by source all the same.
    perSourcePerSecond: perSecond,
    maxWaitMs: timeoutMs,
    now,
    observe: () => undefined,
  });
  const reviewCaller = createReviewCaller(options);
  const authorize = createAuthorize({ client, ...options.access });
  const endAccounts = createEndAccounts({ ...accounts, listTierNamespaces });
  const memory = {
    maxEntries: 10_000,
    maxDenials: 10_000,
    random: Math.random,
    now,
    observe: () => undefined,
  };
  return {
    instance,
    identify: createIdentifyCaller({
      instance,
      clusterAudience: options.clusterAudience,
      review: (token) => spend('callers', () => reviewCaller(token)),
      ...accounts,
      ...secrets,
      cache: createReviewCache<Caller>({
        ...memory,
        ttlMs: ({ principal }, nowMs) =>
          Math.min(callerTtlMs, (principal.expiresAtMs ?? Number.POSITIVE_INFINITY) - nowMs),
        denialTtlMs: 2_000,
        staleMs: () => 0,
      }),
      now,
    }),
    checkMayMint: createCheckMayMint({
      instance,
      serviceAccountNamespaces: options.serviceAccountNamespaces,
    }),
    checkMayAdminister: createCheckMayAdminister(createAuthorizeAdmin(options)),
    assignTier,
    mint: createMint({
      assignTier,
      sharedGroups: (groups) => sharedGroups(options.policy(), groups),
      ensureAccount: createEnsureAccount({
        instance,
        ...accounts,
        ...(options.createNamespaces && { createTierNamespace: createCreateTierNamespace(client, instance) }),
      }),
      endAccounts,
      ...secrets,
      requestToken: createRequestToken(client, options.audience),
      maxTokensPerUser: options.maxTokensPerUser,
      newTokenId: () => randomBytes(16).toString('hex'),
      now,
    }),
    listTokens: createListTokens({ instance, listTierNamespaces, ...accounts, ...secrets, now }),
    revokeToken: createRevokeToken({ listTierNamespaces, ...secrets }),
    endAccounts,
    listModels: createListModels({
      instance,
      listServedModels: options.listServedModels,
      authorize: (question) => spend(question.user, () => authorize(question)),
      cache: createReviewCache<AccessGranted>({
        ...memory,
        ttlMs: () => accessTtlMs,
        denialTtlMs,
        staleMs: () => 0,
      }),
    }),
    readUsage: createReadUsage({ consume: options.consume, timeoutMs: usageTimeoutMs, now }),
    adjustUsage: createAdjustUsage({ ...options, authorizeAdjustment: createAuthorizeAdjustment(options) }),
    audit: options.audit,
  };
}

/** Whose a token is, by both audiences: the cluster's own, and that of access tokens. */
export function createReviewCaller({
  client,
  audience,
  clusterAudience,
}: Pick<TokenApiOptions, 'client' | 'audience' | 'clusterAudience'>): ReviewCaller {
  const reviewToken = createReviewToken({ client });
  return async (token) => {
    const reviewed = await reviewToken(token, [clusterAudience, audience]);
    if (reviewed === undefined) return denied('token_rejected', 'The token was not accepted.');
    // An authenticator that knows no audiences says nothing of any: then it vouches for nothing we asked.
    if (reviewed.audiences.length === 0)
      return denied('wrong_audience', 'The token is not meant for this API.');
    return reviewed;
  };
}

function createAuthorizeAdmin({ client, namespace }: TokenApiOptions) {
  const reviewAccess = createReviewAccess({ client });
  return async (principal: Caller['principal'], verb: 'list' | 'delete'): Promise<boolean> => {
    const { username: user, uid, groups, extra } = principal;
    const what = { group: 'tiergate.dev', resource: 'tokens', verb, namespace };
    return reviewAccess({ user, uid, groups, extra }, what);
  };
}

function createAuthorizeAdjustment({ client, namespace }: TokenApiOptions) {
  const reviewAccess = createReviewAccess({ client });
  return async ({ username: user, uid, groups, extra }: Caller['principal']): Promise<boolean> =>
    reviewAccess(
      { user, uid, groups, extra },
      { group: 'tiergate.dev', resource: 'usage', verb: 'update', namespace },
    );
}
