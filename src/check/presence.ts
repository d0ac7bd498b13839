import { isDependencyError } from '../dependency-error.ts';
import type { Asking } from './asking.ts';
import { couldNotTell } from './could-not-tell.ts';
import { bounded } from './deadline.ts';
import { type Denied, denied } from './outcome.ts';
import type { Principal, ServiceAccountIdentity } from './principal.ts';
import type { SpendBudget } from './review-budget.ts';

/** What an issued token stands on: its ServiceAccount and, if it was bound to one, its Secret. */
export interface TokenObjects {
  readonly serviceAccount: ServiceAccountIdentity;
  readonly secret?: { readonly name: string; readonly uid: string } | undefined;
}

/**
 * - `present`: all of it is there, or was when the cluster was last followed
 * - `absent`: the cluster is followed, and something of it is not there
 * - `gone`: something of it was seen to go, or was looked for in vain: that is for good, since no uid comes twice
 * - `unknown`: the cluster is not followed at the moment, so that absence proves nothing
 */
export type Presence = 'present' | 'absent' | 'gone' | 'unknown';

/** Port: by the watched store, without asking anybody. */
export type FindPresence = (objects: TokenObjects) => Presence;

/**
 * Port: by asking the API server about what the store does not hold; false: something is not there. Throws
 * DependencyError: nobody could tell.
 */
export type LookUpPresence = (objects: TokenObjects) => Promise<boolean>;

export interface PresenceOptions {
  /** Whether access tokens of this namespace are issued by us (or by MaaS before us). */
  readonly isTierNamespace: (namespace: string) => boolean;
  readonly find: FindPresence;
  readonly lookUp: LookUpPresence;
  readonly spend: SpendBudget;
  readonly now: () => number;
}

export type CheckPresence = (
  principal: Principal,
  asking: Asking,
) => Principal | Denied | Promise<Principal | Denied>;

/** A token this new may be ahead of the watch that tells of its objects. */
const youngMs = 30_000;

/**
 * Is what the token stands on still there? Looked at for every answer and never remembered with a verdict: the API
 * server itself goes on calling a token authenticated for 10 s after its ServiceAccount is gone, and nothing here
 * may depend on having seen the deletion. Tokens of other namespaces pass.
 */
export function createCheckPresence(options: PresenceOptions): CheckPresence {
  const { isTierNamespace, find, lookUp, spend, now } = options;
  const pending = new Map<string, Promise<boolean>>();

  /** One look for all who ask about the same token meanwhile. */
  function look(objects: TokenObjects, source: string): Promise<boolean> {
    const key = `${objects.serviceAccount.uid} ${objects.secret?.uid ?? ''}`;
    let looking = pending.get(key);
    if (looking === undefined) {
      looking = spend(source, () => lookUp(objects)).finally(() => pending.delete(key));
      pending.set(key, looking);
    }
    return looking;
  }

  return (principal, { source, deadlineAtMs }) => {
    const { serviceAccount, secret, issuedAtMs } = principal;
    if (serviceAccount === undefined || !isTierNamespace(serviceAccount.namespace)) return principal;
    const objects = { serviceAccount, secret };
    const presence = find(objects);
    if (presence === 'present') return principal;
    if (presence === 'gone') return revoked();
    const isYoung = issuedAtMs !== undefined && now() - issuedAtMs < youngMs;
    if (presence === 'absent' && !isYoung) return revoked();
    const answer = look(objects, source).then(
      (isPresent): Principal | Denied => (isPresent ? principal : revoked()),
      (error: unknown) => {
        if (isDependencyError(error)) return unavailable(error);
        throw error;
      },
    );
    return bounded(answer, deadlineAtMs, now(), unavailable);
  };
}

function revoked(): Denied {
  return denied('token_revoked', 'The access token has been revoked.');
}

function unavailable(cause?: unknown): Denied {
  return couldNotTell(
    'identity_unavailable',
    'Whether the access token was revoked can not be told right now.',
    cause,
  );
}
