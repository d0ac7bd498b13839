import { accountName, type FindAccount, type ListTierNamespaces, tierOfNamespace } from './account.ts';
import { isLive, type ListTokenRecords, type TokenRecord } from './token-record.ts';

export interface ListTokensOptions {
  readonly instance: string;
  readonly listTierNamespaces: ListTierNamespaces;
  readonly findAccount: FindAccount;
  readonly listTokenRecords: ListTokenRecords;
  readonly now: () => number;
}

/** A token that works, as its user sees it. */
export interface ListedToken extends TokenRecord {
  readonly tier: string;
  readonly jti: string;
}

/** The user's tokens that work, newest first, in every tier. Throws DependencyError. */
export type ListTokens = (user: string) => Promise<readonly ListedToken[]>;

export function createListTokens(options: ListTokensOptions): ListTokens {
  const { instance, listTierNamespaces, findAccount, listTokenRecords, now } = options;

  async function listIn(namespace: string, user: string): Promise<readonly ListedToken[]> {
    const place = { namespace, name: accountName(user) };
    const [account, records] = await Promise.all([
      findAccount(place),
      listTokenRecords(namespace, place.name),
    ]);
    const tier = tierOfNamespace(instance, namespace);
    if (account === undefined || tier === undefined) return [];
    // A Secret outlives its account for a moment, until the cluster collects it; its token does not.
    return records.flatMap((record) => {
      const { jti } = record;
      const works = record.user === user && record.accountUid === account.uid && isLive(record, now());
      return works && jti !== undefined ? [{ ...record, jti, tier }] : [];
    });
  }

  return async (user) => {
    const namespaces = await listTierNamespaces();
    const tokens = await Promise.all(namespaces.map((namespace) => listIn(namespace, user)));
    return tokens.flat().sort((a, b) => b.createdAtMs - a.createdAtMs || a.id.localeCompare(b.id));
  };
}
