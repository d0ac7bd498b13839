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
  /** Refuses (`token_revoked`) whom the list names, by whatever token they come. */
  readonly check: CheckDenied;
  /** The whole list as it is now. */
  readonly replace: (entries: readonly DeniedEntry[]) => void;
  /** Entries that have not ended. */
  readonly size: () => number;
}

/** Those whom an operator keeps out by name, until a given time. */
export function createDeniedList({ now }: { readonly now: () => number }): DeniedList {
  const entryByName = new Map<string, DeniedEntry>();

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
    replace(entries) {
      entryByName.clear();
      for (const entry of entries) entryByName.set(`${entry.kind} ${entry.value}`, entry);
    },
    size: () => [...entryByName.values()].filter(({ endsAtMs }) => now() < endsAtMs).length,
  };
}
