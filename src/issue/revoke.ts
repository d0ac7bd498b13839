import { type Denied, denied } from '../check/outcome.ts';
import {
  type Account,
  accountName,
  type DeleteAccount,
  type FindAccount,
  type ListTierNamespaces,
} from './account.ts';
import type { DeleteTokenRecord, ListTokenRecords, TokenRecord } from './token-record.ts';

export interface EndAccountsOptions {
  readonly listTierNamespaces: ListTierNamespaces;
  readonly findAccount: FindAccount;
  readonly deleteAccount: DeleteAccount;
}

/**
 * Ends the user's accounts in every tier namespace but `except`, also of tiers that are no longer in the
 * policy, and says which. An account that was made for somebody else under the same name is left alone.
 * Throws DependencyError: some may be left; asking again ends them.
 */
export type EndAccounts = (user: string, except?: string) => Promise<readonly Account[]>;

export function createEndAccounts(options: EndAccountsOptions): EndAccounts {
  const { listTierNamespaces, findAccount, deleteAccount } = options;
  return async (user, except) => {
    const namespaces = (await listTierNamespaces()).filter((namespace) => namespace !== except);
    const name = accountName(user);
    const found = await Promise.all(namespaces.map((namespace) => findAccount({ namespace, name })));
    const ended = found.filter((account) => account !== undefined && isOf(account, user)) as Account[];
    await Promise.all(ended.map(deleteAccount));
    return ended;
  };
}

export interface RevokeTokenOptions {
  readonly listTierNamespaces: ListTierNamespaces;
  readonly listTokenRecords: ListTokenRecords;
  readonly deleteTokenRecord: DeleteTokenRecord;
}

/**
 * Ends one token of the user. An id that is unknown, of somebody else or already ended is refused alike
 * (`token_unknown`): nothing is to be learned by asking. Throws DependencyError.
 */
export type RevokeToken = (user: string, id: string) => Promise<TokenRecord | Denied>;

export function createRevokeToken(options: RevokeTokenOptions): RevokeToken {
  const { listTierNamespaces, listTokenRecords, deleteTokenRecord } = options;
  return async (user, id) => {
    const name = accountName(user);
    const namespaces = await listTierNamespaces();
    const records = await Promise.all(namespaces.map((namespace) => listTokenRecords(namespace, name)));
    const record = records.flat().find((candidate) => candidate.id === id && candidate.user === user);
    if (record === undefined || !(await deleteTokenRecord(record))) {
      return denied('token_unknown', 'You have no token with this id.');
    }
    return record;
  };
}

/** MaaS names no user on the accounts it made: there the name has to do. */
function isOf(account: Account, user: string): boolean {
  return account.user === undefined || account.user === user;
}
