import { isDeepStrictEqual } from 'node:util';

import { type Denied, denied } from '../check/outcome.ts';
import { DependencyError, isDependencyError } from '../dependency-error.ts';
import { tierNamespace } from '../policy/create-policy.ts';
import { type Account, accountName, type FindAccount } from './account.ts';

export interface NewAccount {
  readonly namespace: string;
  readonly name: string;
  readonly tier: string;
  readonly user: string;
  /** That limits are shared by. */
  readonly groups: readonly string[];
}

/**
 * Port: makes the ServiceAccount with MaaS' labels and the annotations `tiergate.dev/{user,groups}`. `exists`: somebody was
 * faster. `no_namespace`: it is not there, or on its way out. Throws DependencyError.
 */
export type CreateAccount = (account: NewAccount) => Promise<Account | 'exists' | 'no_namespace'>;

/**
 * Port: writes the user into an account that names none, or their groups as they are now. Undefined: it changed or went
 * meanwhile. Throws DependencyError.
 */
export type AnnotateAccount = (
  account: Account,
  as: Pick<NewAccount, 'user' | 'groups'>,
) => Promise<Account | undefined>;

/** Port: makes the namespace of a tier, or finds it made. Throws DependencyError. */
export type CreateTierNamespace = (namespace: string, tier: string) => Promise<void>;

export interface EnsureAccountOptions {
  readonly instance: string;
  readonly findAccount: FindAccount;
  readonly createAccount: CreateAccount;
  readonly annotateAccount: AnnotateAccount;
  /** Absent: namespaces are made by installation, and a tier without one is refused. */
  readonly createTierNamespace?: CreateTierNamespace;
}

/** `groups`: those of the user that limits are shared by. */
export type EnsureAccount = (
  user: string,
  tier: string,
  groups: readonly string[],
) => Promise<Account | Denied>;

/** Rounds until what others do at the same time has settled; each lost race needs one. */
const maxRounds = 5;

/**
 * User × tier → their ServiceAccount, made where it is missing; safe when many ask at once, here or in other
 * replicas, and when somebody deletes meanwhile.
 */
export function createEnsureAccount(options: EnsureAccountOptions): EnsureAccount {
  const { instance, findAccount, createAccount, annotateAccount, createTierNamespace } = options;

  async function findOrCreate(wanted: NewAccount): Promise<Account | 'again' | NoNamespace> {
    try {
      const found = await findAccount(wanted);
      if (found === undefined) {
        const created = await createAccount(wanted);
        if (created === 'exists') return 'again';
        return created === 'no_namespace' ? {} : created;
      }
      const isOthers = found.user !== undefined && found.user !== wanted.user;
      if (isOthers || (found.user === wanted.user && isDeepStrictEqual(found.groups, wanted.groups)))
        return found;
      return (await annotateAccount(found, wanted)) ?? 'again';
    } catch (error) {
      // The API server refused *us*: in a namespace without our Role it says so whether it exists or not.
      if (isDependencyError(error) && error.code === 'misconfigured') return { cause: error };
      throw error;
    }
  }

  return async (user, tier, groups) => {
    const namespace = tierNamespace(instance, tier);
    const wanted: NewAccount = { namespace, name: accountName(user), tier, user, groups };
    for (let round = 0; round < maxRounds; round += 1) {
      const account = await findOrCreate(wanted);
      if (account === 'again') continue;
      if ('uid' in account) return account.user === user ? account : nameTaken();
      if (createTierNamespace === undefined || round > 0) return notProvisioned(account.cause);
      try {
        await createTierNamespace(namespace, tier);
      } catch (error) {
        // Refused, by RBAC or by admission (422): not ours to make, such as one that somebody made before us.
        if (isRefusal(error)) return notProvisioned(error);
        throw error;
      }
    }
    throw new DependencyError('kubernetes', 'failed', {
      detail: 'the account changes faster than it is read',
    });
  };
}

function isRefusal(error: unknown): boolean {
  return isDependencyError(error) && (error.code === 'misconfigured' || error.code === 'malformed');
}

/** Why an account can be neither found nor made. */
interface NoNamespace {
  readonly cause?: unknown;
}

function notProvisioned(cause?: unknown): Denied {
  return denied('tier_not_provisioned', 'Your tier is not set up for tokens yet.', {
    retryAfterMs: 30_000,
    cause,
  });
}

/** Eight hex digits of a hash can be met on purpose: two users must never share an account. */
function nameTaken(): Denied {
  return denied('mint_forbidden', 'Your user name can not be told from that of another user.');
}
