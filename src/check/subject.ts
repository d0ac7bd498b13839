import { isDependencyError } from '../dependency-error.ts';
import type { Asking } from './asking.ts';
import { couldNotTell } from './could-not-tell.ts';
import { bounded } from './deadline.ts';
import type { Denied } from './outcome.ts';
import type { Principal, ServiceAccountIdentity } from './principal.ts';

/**
 * Port: the person for whom a ServiceAccount of a tier namespace was made (annotation `tiergate.dev/user`), or
 * undefined where it names nobody. Answers from a watched store, and asks the API server only about an
 * account that the store does not hold yet. Throws DependencyError: nobody could tell.
 */
export type FindOwner = (account: ServiceAccountIdentity) => string | undefined | Promise<string | undefined>;

/**
 * Port: that person's groups as of the last mint (annotation `tiergate.dev/groups`), as far as anybody's limits are shared
 * by them. Of an account whose owner was just found; of any other none, without asking.
 */
export type FindGroups = (account: ServiceAccountIdentity) => readonly string[];

export interface SubjectOptions {
  /** Whether access tokens of this namespace are issued by us (or by MaaS before us). */
  readonly isTierNamespace: (namespace: string) => boolean;
  readonly findOwner: FindOwner;
  readonly now: () => number;
}

export type SubjectOf = (principal: Principal, asking: Asking) => string | Denied | Promise<string | Denied>;

/**
 * Principal → the subject of its counters. For an issued token that is the person it was issued to (else the
 * name of its ServiceAccount, as MaaS counts), so that minting again, revoking or changing tier neither
 * resets nor doubles a quota; for any other token the full user name.
 */
export function createSubjectOf(options: SubjectOptions): SubjectOf {
  const { isTierNamespace, findOwner, now } = options;
  return (principal, { deadlineAtMs }) => {
    const account = principal.serviceAccount;
    if (account === undefined || !isTierNamespace(account.namespace)) return principal.username;
    const owner = findOwner(account);
    if (!(owner instanceof Promise)) return owner ?? account.name;
    const subject = owner.then(
      (found): string | Denied => found ?? account.name,
      (error: unknown) => {
        if (isDependencyError(error)) return unavailable(error);
        throw error;
      },
    );
    return bounded(subject, deadlineAtMs, now(), unavailable);
  };
}

function unavailable(cause?: unknown): Denied {
  return couldNotTell(
    'identity_unavailable',
    'The owner of the access token can not be looked up right now.',
    cause,
  );
}
