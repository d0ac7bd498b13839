import type { ServiceAccountIdentity } from '../check/principal.ts';
import type { FindGroups, FindOwner } from '../check/subject.ts';
import { setBounded } from './bounded-map.ts';
import type { KeptMetadata } from './kept-metadata.ts';
import {
  createNamespacedMetadata,
  type NamespacedMetadata,
  type NamespacedMetadataOptions,
  type ObjectIdentity,
} from './namespaced-metadata.ts';
import { groupsAnnotation, groupsFrom, userAnnotation } from './service-account.ts';

/** The namespaces are the tiers'; one that does not exist yet holds nothing. */
export type ServiceAccountStoreOptions = Omit<
  NamespacedMetadataOptions,
  'resource' | 'labelSelector' | 'annotations'
>;

export interface ServiceAccountStore extends NamespacedMetadata {
  /**
   * From the store; of an account that is not in it, by one GET for all who ask at the time, remembered for
   * some seconds. An account that is gone keeps its owner, so that a token that outlives it by a moment
   * is counted as before.
   */
  readonly findOwner: FindOwner;
  readonly findGroups: FindGroups;
}

/** What an account says of the person it was made for. */
interface Owned {
  readonly owner: string | undefined;
  readonly groups: readonly string[];
}

/** How long a GET's answer holds: the annotation of a uid hardly ever changes, and the watch takes over soon. */
const rememberMs = 10_000;

/**
 * The ServiceAccounts of the tier namespaces, by watch. Needs `list` and `watch` on `serviceaccounts` in each of
 * them, and `get` for accounts that the watch has not brought yet.
 */
export function createServiceAccountStore(options: ServiceAccountStoreOptions): ServiceAccountStore {
  const { now = Date.now } = options;
  const answerByUid = new Map<string, Owned & { readonly untilMs: number }>();
  const ownedOfGone = new Map<string, Owned>();
  const pending = new Map<string, Promise<string | undefined>>();
  const accounts = createNamespacedMetadata({
    ...options,
    resource: 'serviceaccounts',
    annotations: [userAnnotation, groupsAnnotation],
    onChange: (namespace, change) => {
      options.onChange?.(namespace, change);
      if (change.type !== 'removed') return;
      setBounded(ownedOfGone, change.object.uid, ownedBy(change.object));
    },
  });

  async function lookUp(account: ObjectIdentity, signal?: AbortSignal): Promise<KeptMetadata | undefined> {
    const found = await accounts.lookUp(account, signal);
    const owned = found === undefined ? ownedOfGone.get(account.uid) : ownedBy(found);
    setBounded(answerByUid, account.uid, { ...(owned ?? nobody), untilMs: now() + rememberMs });
    return found;
  }

  async function askOwner(account: ServiceAccountIdentity): Promise<string | undefined> {
    const { uid } = account;
    try {
      await lookUp(account);
      return answerByUid.get(uid)?.owner;
    } finally {
      pending.delete(uid);
    }
  }

  return {
    ...accounts,
    lookUp,
    findOwner: (account) => {
      const found = accounts.find(account);
      if (found !== undefined) return ownedBy(found).owner;
      const answer = answerByUid.get(account.uid);
      if (answer !== undefined && now() < answer.untilMs) return answer.owner;
      let asking = pending.get(account.uid);
      if (asking === undefined) {
        asking = askOwner(account);
        pending.set(account.uid, asking);
      }
      return asking;
    },
    findGroups(account) {
      const found = accounts.find(account);
      return (found === undefined ? answerByUid.get(account.uid) : ownedBy(found))?.groups ?? [];
    },
  };
}

const nobody: Owned = { owner: undefined, groups: [] };

/** Read once for each object that the watch brings. */
const ownedByObject = new WeakMap<KeptMetadata, Owned>();

function ownedBy(object: KeptMetadata): Owned {
  let owned = ownedByObject.get(object);
  if (owned === undefined) {
    const owner = object.annotations[userAnnotation];
    owned = { owner: owner === '' ? undefined : owner, groups: groupsFrom(object.annotations) };
    ownedByObject.set(object, owned);
  }
  return owned;
}
