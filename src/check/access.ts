import { createHash } from 'node:crypto';
import { isDependencyError } from '../dependency-error.ts';
import type { Asking } from './asking.ts';
import { couldNotTell } from './could-not-tell.ts';
import { bounded } from './deadline.ts';
import type { Model } from './model.ts';
import type { Denied } from './outcome.ts';
import type { Principal } from './principal.ts';
import type { SpendBudget } from './review-budget.ts';
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

/** A yes, and what it was about. */
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
  /** Of SubjectAccessReviews. */
  readonly spend: SpendBudget;
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
  asking: Asking,
) => AccessGranted | Denied | Promise<AccessGranted | Denied>;

/** Principal × Model → passed, or not. */
export function createCheckAccess(options: AccessOptions): CheckAccess {
  const { authorize, spend, cache, extraKeys, now } = options;

  /** Most ask for the same model again; among a million principals a look-up is what costs most. */
  function recallGrant({ grantedModel, grant }: Principal, model: Model): AccessGranted | undefined {
    return grant === undefined || grantedModel !== model.id ? undefined : cache.recallKept(grant);
  }

  function keepGrant(principal: Principal, model: Model, key: string): void {
    // Only where it is remembered itself; what is looked at once is not kept.
    const grant = principal.askedAs === undefined ? undefined : cache.keep(key);
    if (grant === undefined) return;
    principal.grantedModel = model.id;
    principal.grant = grant;
  }

  return (principal, model, { source, deadlineAtMs }) => {
    const granted = recallGrant(principal, model);
    if (granted !== undefined) return granted;
    const key = `${model.id} ${principal.askedAs ?? askedAs(principal, extraKeys)}`;
    const answer = cache.ask(key, () =>
      spend(source, () =>
        authorize({ ...asker(principal, extraKeys), namespace: model.namespace, name: model.name }),
      ),
    );
    if (!(answer instanceof Promise)) {
      keepGrant(principal, model, key);
      return answer;
    }
    const waiting = bounded(answer, deadlineAtMs, now(), () => cache.recallStale(key) ?? unavailable());
    return waiting.then(
      (told) => {
        keepGrant(principal, model, key);
        return told;
      },
      (error: unknown) => {
        if (isDependencyError(error)) return unavailable(error);
        throw error;
      },
    );
  };
}

/** The namespace of the model that a key of the cache is about: what a change of its RBAC concerns. */
export function namespaceOfAccess(key: string): string {
  return key.slice(0, key.indexOf('/'));
}

/** Whoever is asked about as the same person shares a verdict. */
export function askedAs(principal: Principal, extraKeys: readonly string[]): string {
  const { user, uid, groups, extra } = asker(principal, extraKeys);
  const asked = JSON.stringify([user, uid, groups, Object.entries(extra)]);
  return createHash('sha256').update(asked).digest('binary');
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
  return couldNotTell('access_unavailable', 'Access to the model can not be checked right now.', cause);
}
