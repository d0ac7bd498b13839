import { createHash } from 'node:crypto';
import { tierNamespace } from '../policy/create-policy.ts';

/** A ServiceAccount that stands for one user in the namespace of one tier. */
export interface Account {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Annotation `tiergate.dev/user`: whom it was made for. Undefined on accounts that MaaS made. */
  readonly user: string | undefined;
  /** Annotation `tiergate.dev/groups`: the user's as of the last mint, as far as limits are shared by them. */
  readonly groups: readonly string[];
}

/** Where an account is, or shall be. */
export interface AccountPlace {
  readonly namespace: string;
  readonly name: string;
}

/**
 * Port: the account as the API server has it now, not as a cache remembers it; undefined if there is none.
 * Throws DependencyError: nobody could tell (`misconfigured`: the namespace is not ours to read).
 */
export type FindAccount = (place: AccountPlace) => Promise<Account | undefined>;

/** Port: the accounts of a tier namespace. Throws DependencyError. */
export type ListAccounts = (namespace: string) => Promise<readonly Account[]>;

/** Port: ends the account of exactly this uid, and with it its tokens; none there is no mistake. Throws DependencyError. */
export type DeleteAccount = (account: Account) => Promise<void>;

/**
 * Port: every namespace that holds accounts of this instance, also of tiers that the policy no longer names.
 * Throws DependencyError.
 */
export type ListTierNamespaces = () => Promise<readonly string[]>;

/** The tier that a namespace is for, or undefined if it is no tier namespace of this instance. */
export function tierOfNamespace(instance: string, namespace: string): string | undefined {
  const prefix = tierNamespace(instance, '');
  return namespace.startsWith(prefix) && namespace.length > prefix.length
    ? namespace.slice(prefix.length)
    : undefined;
}

/** A DNS-1123 label less the hyphen and the hash that end the name. */
const maxBaseLength = 54;

/**
 * User name → name of their ServiceAccount, exactly as MaaS makes it, so that accounts it made are found:
 * the name made fit for DNS, then eight hex digits of the SHA-1 of the original. MaaS refuses names without a
 * single letter or digit; here they become `user-<hash>`.
 */
export function accountName(user: string): string {
  const hash = createHash('sha1').update(user).digest('hex').slice(0, 8);
  const base = trimHyphens(
    user
      .toLowerCase()
      .replaceAll(/[^a-z0-9-]+/g, '-')
      .replaceAll(/-+/g, '-'),
  );
  const cut = trimHyphens(base.slice(0, maxBaseLength));
  return `${cut === '' ? 'user' : cut}-${hash}`;
}

function trimHyphens(text: string): string {
  return text.replaceAll(/^-+|-+$/g, '');
}
