import { couldNotTell } from './could-not-tell.ts';
import { type Denied, denied } from './outcome.ts';
import type { Principal } from './principal.ts';

/** Whom an operator keeps out. `serviceAccount` is `namespace/name`; `user` a subject or a full user name. */
export type DeniedKind = 'user' | 'serviceAccount' | 'jti';

export interface DeniedEntry {
  readonly kind: DeniedKind;
  readonly value: string;
  /** The operator's words: for the log, never for the client. */
  readonly reason: string;
  /** Epoch milliseconds; from then on it says nothing. */
  readonly endsAtMs: number;
}

export type CheckDenied = (principal: Principal, subject: string) => Principal | Denied;

export interface DeniedList {
  /**
   * Refuses (`token_revoked`) whom the list names, by whatever token they come; until the list was had for the first
   * time, nobody can tell (`identity_unavailable`).
   */
  readonly check: CheckDenied;
  /** There is no list that we may read: until one is had, it names nobody. */
  readonly doWithout: () => void;
  /** The whole list as it is now. */
  readonly replace: (entries: readonly DeniedEntry[]) => void;
  /** Entries that have not ended. */
  readonly size: () => number;
}

/** Those whom an operator keeps out by name, until a given time. */
export function createDeniedList({ now }: { readonly now: () => number }): DeniedList {
  const entryByName = new Map<string, DeniedEntry>();
  let isKnown = false;

  function find(kind: DeniedKind, value: string | undefined): DeniedEntry | undefined {
    if (value === undefined) return undefined;
    const name = `${kind} ${value}`;
    const entry = entryByName.get(name);
    if (entry === undefined || now() < entry.endsAtMs) return entry;
    entryByName.delete(name);
    return undefined;
  }

  return {
    check(principal, subject) {
      if (!isKnown) {
        return couldNotTell(
          'identity_unavailable',
          'Who is kept out is not known yet.',
          'no denied list yet',
        );
      }
      // Nearly always: then nothing is put together to be looked up.
      if (entryByName.size === 0) return principal;
      const { serviceAccount, username, jti } = principal;
      const entry =
        find('user', subject) ??
        find('user', username) ??
        find('jti', jti) ??
        (serviceAccount && find('serviceAccount', `${serviceAccount.namespace}/${serviceAccount.name}`));
      if (entry === undefined) return principal;
      const { kind, value, reason, endsAtMs } = entry;
      const until = new Date(endsAtMs).toISOString();
      return denied('token_revoked', 'The access token has been revoked.', {
        cause: `denied until ${until}, ${kind} ${value}: ${reason}`,
      });
    },
    doWithout() {
      isKnown = true;
    },
    replace(entries) {
      isKnown = true;
      entryByName.clear();
      for (const entry of entries) entryByName.set(`${entry.kind} ${entry.value}`, entry);
    },
    size: () => [...entryByName.values()].filter(({ endsAtMs }) => now() < endsAtMs).length,
  };
}
