import { createTokenKey } from '../check/identity.ts';
import { readJwtClaims } from '../check/jwt.ts';
import { type Denied, denied, isDenied } from '../check/outcome.ts';
import { type Principal, principalFrom } from '../check/principal.ts';
import { createReviewCache, type ReviewCache } from '../check/review-cache.ts';
import { tierOfNamespace } from '../issue/account.ts';
import type { ReviewCaller } from '../issue/caller.ts';
import type { Secret } from '../secret.ts';
import { type Refusal, refusal, refusalFrom } from './refusal.ts';

/** What an operator may do with the console: look at it, change something by it. */
export type ConsoleRight = 'look' | 'change';

/**
 * Port: one SubjectAccessReview: `console` of `tiergate.dev`, `get` to look and `update` to change. Throws
 * DependencyError: nobody could tell.
 */
export type AuthorizeOperator = (principal: Principal, right: ConsoleRight) => Promise<boolean>;

export interface OperatorsOptions {
  readonly instance: string;
  /** Audience of the cluster's own tokens. */
  readonly clusterAudience: string;
  readonly review: ReviewCaller;
  readonly authorize: AuthorizeOperator;
  readonly random: () => number;
  readonly now: () => number;
}

export interface Operators {
  /** A token of the cluster → whose it is. Throws DependencyError: nobody could tell. */
  readonly identify: (token: Secret) => Promise<Principal | Refusal>;
  /** Undefined: they may. The right to look is remembered for some seconds, the right to change never. Throws DependencyError. */
  readonly check: (principal: Principal, right: ConsoleRight) => Promise<Refusal | undefined>;
}

/** A page asks every second; what was taken away is felt within that time. */
const rememberedMs = 5_000;
const maxRemembered = 1_000;

/** Who may use the console: people and programs of the cluster, by its own RBAC. An access token opens nothing. */
export function createOperators(options: OperatorsOptions): Operators {
  const { instance, clusterAudience, review, authorize, now } = options;
  const keyOf = createTokenKey();
  const people = createMemory<Principal>(options);
  const lookers = createMemory<Record<string, never>>(options);

  async function reviewed(token: Secret): Promise<Principal | Denied> {
    const answer = await review(token);
    if (isDenied(answer)) return answer;
    const principal = principalFrom(answer.user, readJwtClaims(token.reveal()));
    const { serviceAccount } = principal;
    const isIssued =
      serviceAccount !== undefined && tierOfNamespace(instance, serviceAccount.namespace) !== undefined;
    if (isIssued || !answer.audiences.includes(clusterAudience)) {
      return denied(
        'wrong_audience',
        'An access token does not open the console: use your token of the cluster.',
      );
    }
    return principal;
  }

  return {
    async identify(token) {
      const ends = readJwtClaims(token.reveal())?.expiresAtMs;
      if (ends !== undefined && ends <= now()) {
        return refusalFrom(denied('token_expired', 'The token has expired.'));
      }
      const answer = await people.ask(keyOf(token), () => reviewed(token));
      return isDenied(answer) ? refusalFrom(answer) : answer;
    },
    async check(principal, right) {
      const ask = async () => ((await authorize(principal, right)) ? {} : forbidden);
      const { username, uid, groups } = principal;
      const answer =
        right === 'look' ? await lookers.ask(JSON.stringify([username, uid, groups]), ask) : await ask();
      if (!isDenied(answer)) return undefined;
      const verb = right === 'look' ? 'get' : 'update';
      return refusal(
        'console_forbidden',
        `You may not ${right === 'look' ? 'use the console' : 'change anything here'}: it needs the right to ${verb} console (tiergate.dev).`,
      );
    },
  };
}

const forbidden = denied('mint_forbidden', 'no such right');

function createMemory<Yes extends object>({ random, now }: OperatorsOptions): ReviewCache<Yes> {
  return createReviewCache<Yes>({
    maxEntries: maxRemembered,
    maxDenials: maxRemembered,
    ttlMs: () => rememberedMs,
    denialTtlMs: 1_000,
    staleMs: () => 0,
    random,
    now,
    observe: () => undefined,
  });
}
