import type { Account, DeleteAccount, ListAccounts, ListTierNamespaces } from './account.ts';
import {
  type DeleteTokenRecord,
  isLeftBehind,
  type ListTokenRecords,
  type TokenRecord,
} from './token-record.ts';

export interface SweepOptions {
  readonly listTierNamespaces: ListTierNamespaces;
  readonly listAccounts: ListAccounts;
  readonly listTokenRecords: ListTokenRecords;
  readonly deleteAccount: DeleteAccount;
  readonly deleteTokenRecord: DeleteTokenRecord;
  readonly now: () => number;
}

/** What one pass has removed. */
export interface Swept {
  /** Records whose token has ended, or was never handed out. */
  readonly records: number;
  /** Records whose account is gone: the cluster collects them too, where it runs that controller. */
  readonly ownerless: number;
  /** Accounts of a tier that their user has left. */
  readonly accounts: number;
}

/** One pass over every tier namespace. Safe to repeat and to run twice at once. Throws DependencyError: the next pass goes on. */
export type Sweep = () => Promise<Swept>;

interface Holding {
  readonly account: Account;
  readonly user: string;
  readonly newestAtMs: number;
}

export function createSweep(options: SweepOptions): Sweep {
  const { listTierNamespaces, listAccounts, listTokenRecords, now } = options;

  async function sweepNamespace(
    namespace: string,
  ): Promise<Swept & { readonly holdings: readonly Holding[] }> {
    // Records first: an account made between the two lists is not missed, and no record of it is called ownerless.
    const records = await listTokenRecords(namespace);
    const accounts = await listAccounts(namespace);
    const uids = new Set(accounts.map(({ uid }) => uid));
    const ownerless = records.filter(({ accountUid }) => !uids.has(accountUid));
    const owned = records.filter(({ accountUid }) => uids.has(accountUid));
    const leftBehind = owned.filter((record) => isLeftBehind(record, now()));
    for (const record of [...ownerless, ...leftBehind]) await options.deleteTokenRecord(record);
    const kept = owned.filter((record) => !leftBehind.includes(record));
    return {
      records: leftBehind.length,
      ownerless: ownerless.length,
      accounts: 0,
      holdings: holdingsOf(accounts, kept),
    };
  }

  return async () => {
    const total = { records: 0, ownerless: 0, accounts: 0 };
    const newestByUser = new Map<string, Holding>();
    const left: Account[] = [];
    for (const namespace of await listTierNamespaces()) {
      const swept = await sweepNamespace(namespace);
      total.records += swept.records;
      total.ownerless += swept.ownerless;
      for (const holding of swept.holdings) {
        const other = newestByUser.get(holding.user);
        const newer = other === undefined || other.newestAtMs < holding.newestAtMs ? holding : other;
        newestByUser.set(holding.user, newer);
        if (other !== undefined) left.push(newer === holding ? other.account : holding.account);
      }
    }
    // A mint ends the accounts of other tiers itself; what is here is what it could not.
    for (const account of left) await options.deleteAccount(account);
    return { ...total, accounts: left.length };
  };
}

/** Accounts that hold tokens, each with the time of its newest. */
function holdingsOf(accounts: readonly Account[], records: readonly TokenRecord[]): readonly Holding[] {
  const newestByUid = new Map<string, number>();
  for (const { accountUid, createdAtMs } of records) {
    newestByUid.set(accountUid, Math.max(createdAtMs, newestByUid.get(accountUid) ?? 0));
  }
  return accounts.flatMap((account) => {
    const newestAtMs = newestByUid.get(account.uid);
    const { user } = account;
    return user === undefined || newestAtMs === undefined ? [] : [{ account, user, newestAtMs }];
  });
}
