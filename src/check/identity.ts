import { hash, randomBytes } from 'node:crypto';
import { isDependencyError } from '../dependency-error.ts';
import type { Secret } from '../secret.ts';
import type { Asking } from './asking.ts';
import { couldNotTell } from './could-not-tell.ts';
import { bounded } from './deadline.ts';
import { type JwtClaims, type JwtScreenOptions, screenJwt } from './jwt.ts';
import { type Denied, denied, isDenied } from './outcome.ts';
import { type Principal, principalFrom, type ReviewedUser } from './principal.ts';
import type { SpendBudget } from './review-budget.ts';
import type { ReviewCache } from './review-cache.ts';

/**
 * Port: one TokenReview with our audience. Denied: the API server does not call the token authenticated for
 * it. Throws DependencyError: nobody could tell. Has a deadline of its own and is safe to repeat.
 */
export type Authenticate = (token: Secret) => Promise<ReviewedUser | Denied>;

/**
 * Port: is the token signed by a key of the API server? `unknown` when its keys can't be had: the TokenReview
 * then decides alone.
 */
export type VerifySignature = (token: Secret) => Promise<'valid' | 'invalid' | 'unknown'>;

export interface IdentityOptions {
  readonly screen: JwtScreenOptions;
  /** Absent: signatures are left to the TokenReview. */
  readonly verifySignature?: VerifySignature;
  readonly authenticate: Authenticate;
  /** Of TokenReviews. A token that is turned away before costs nothing of it. */
  readonly spend: SpendBudget;
  readonly cache: ReviewCache<Principal>;
  /** What is remembered of a principal. Default: all of it. */
  readonly keep?: (principal: Principal) => Principal;
  /** Of the cache; what reads the same cache needs the same keys. Default: a key of its own. */
  readonly keyOf?: TokenKey;
  readonly now: () => number;
}

export type Identify = (token: Secret, asking: Asking) => Principal | Denied | Promise<Principal | Denied>;

/** Token → Principal: known, else screened, else its signature checked, else reviewed. */
export function createIdentify(options: IdentityOptions): Identify {
  const { screen, verifySignature, authenticate, spend, cache, now, keyOf = createTokenKey() } = options;
  const { keep = (principal) => principal } = options;

  async function review(
    token: Secret,
    claims: JwtClaims | undefined,
    source: string,
  ): Promise<Principal | Denied> {
    if (claims !== undefined && verifySignature !== undefined) {
      const signature = await verifySignature(token);
      if (signature === 'invalid') {
        return denied('token_rejected', 'The access token was not signed by this cluster.');
      }
    }
    const user = await spend(source, () => authenticate(token));
    if (!isDenied(user)) return keep(principalFrom(user, claims));
    const endedAtMs = claims?.expiresAtMs;
    return endedAtMs !== undefined && endedAtMs <= now()
      ? denied('token_expired', 'The access token has expired.')
      : user;
  }

  return (token, { source, deadlineAtMs }) => {
    const key = keyOf(token);
    const known = cache.recall(key);
    if (known !== undefined) return known;
    const claims = screenJwt(token.reveal(), now(), screen);
    if (claims !== undefined && isDenied(claims)) return claims;

    const answer = cache.ask(key, () => review(token, claims, source));
    if (!(answer instanceof Promise)) return answer;
    const waiting = bounded(answer, deadlineAtMs, now(), () => cache.recallStale(key) ?? unavailable());
    return waiting.catch((error: unknown) => {
      if (isDependencyError(error)) return unavailable(error);
      throw error;
    });
  };
}

function unavailable(cause?: unknown): Denied {
  return couldNotTell('identity_unavailable', 'The access token can not be checked right now.', cause);
}

export type TokenKey = (token: Secret) => string;

/** Lifetimes of what a TokenReview said, for the cache. */
export function principalLifetime(ttlMs: number, staleIfErrorMs: number) {
  return {
    /** Never past the token's own end. */
    ttlMs: (principal: Principal, nowMs: number) =>
      Math.min(ttlMs, (principal.expiresAtMs ?? Number.POSITIVE_INFINITY) - nowMs),
    /** Never past the token's own end; never for opaque tokens, whose end nobody knows. */
    staleMs: (principal: Principal, endedAtMs: number) =>
      principal.expiresAtMs === undefined
        ? 0
        : Math.max(0, Math.min(staleIfErrorMs, principal.expiresAtMs - endedAtMs)),
  };
}

/**
 * The cache key of a token: its SHA-256 behind a secret that lives and dies with this process, so that neither a heap
 * dump nor a look-up by somebody else's hash gives a token away. Not an HMAC, which takes nearly twice as long: what that
 * adds is for hashes that others get to see. A character a byte.
 */
export function createTokenKey(): TokenKey {
  const key = randomBytes(32).toString('hex');
  // In one call: a Hash object is one more for the garbage collector to finalize, request by request.
  return (token) => hash('sha256', key + token.reveal(), 'binary');
}
