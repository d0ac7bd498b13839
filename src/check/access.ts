import { isDependencyError } from '../dependency-error.ts';
import { bounded } from './deadline.ts';
import type { Model } from './model.ts';
import { type Denied, denied } from './outcome.ts';
import type { Principal } from './principal.ts';
import type { ReviewCache } from './review-cache.ts';

/** What a SubjectAccessReview is asked about (`authorization.k8s.io/v1`): exactly this, nothing is looked up. */
export interface AccessQuestion {
  readonly user: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
  readonly namespace: string;
  readonly name: string;
}

/** A yes. Names what was asked about, so that a change of that namespace's RBAC can end it. */
export interface AccessGranted {
  readonly namespace: string;
}

/**
 * Port: one SubjectAccessReview. Denied (`model_forbidden`): no rule allows it, which is also the answer for
 * a model that does not exist. Throws DependencyError: nobody could tell.
 */
export type Authorize = (question: AccessQuestion) => Promise<AccessGranted | Denied>;

export interface AccessOptions {
  readonly authorize: Authorize;
  readonly cache: ReviewCache<AccessGranted>;
  /**
   * Keys of the principal's `extra` that go into the question. None by default: `credential-id` differs in
   * every token, and would make each token a question of its own.
   */
  readonly extraKeys: readonly string[];
  readonly now: () => number;
}

export type CheckAccess = (
  principal: Principal,
  model: Model,
  deadlineAtMs: number,
) => AccessGranted | Denied | Promise<AccessGranted | Denied>;

/** Principal × Model → passed, or not. */
export function createCheckAccess(options: AccessOptions): CheckAccess {
  const { authorize, cache, extraKeys, now } = options;
  /** A cached principal asks about few models many times: its part of the key is made once. */
  const keyByPrincipal = new WeakMap<Principal, string>();

  function keyOf(principal: Principal): string {
    let key = keyByPrincipal.get(principal);
    if (key === undefined) {
      const { user, uid, groups, extra } = asker(principal, extraKeys);
      key = JSON.stringify([user, uid, groups, Object.entries(extra)]);
      keyByPrincipal.set(principal, key);
    }
    return key;
  }

  return (principal, model, deadlineAtMs) => {
    const key = `${model.id} ${keyOf(principal)}`;
    const answer = cache.ask(key, () =>
      authorize({ ...asker(principal, extraKeys), namespace: model.namespace, name: model.name }),
    );
    if (!(answer instanceof Promise)) return answer;
    const waiting = bounded(answer, deadlineAtMs, now(), () => cache.recallStale(key) ?? unavailable());
    return waiting.catch((error: unknown) => {
      if (isDependencyError(error)) return unavailable(error);
      throw error;
    });
  };
}

function asker(principal: Principal, extraKeys: readonly string[]) {
  const extra = Object.fromEntries(
    extraKeys.flatMap((key) => {
      const values = principal.extra[key];
      return values === undefined ? [] : [[key, values] as const];
    }),
  );
  return { user: principal.username, uid: principal.uid, groups: principal.groups, extra };
}

function unavailable(cause?: unknown): Denied {
  return denied('access_unavailable', 'Access to the model can not be checked right now.', {
    retryAfterMs: isDependencyError(cause) ? (cause.retryAfterMs ?? 1000) : 1000,
    cause: cause ?? 'the deadline of the check ran out',
  });
}
