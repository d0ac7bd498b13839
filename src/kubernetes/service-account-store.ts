import type { ServiceAccountIdentity } from '../check/principal.ts';
import type { FindOwner } from '../check/subject.ts';
import { setBounded } from './bounded-map.ts';
import type { KeptMetadata } from './kept-metadata.ts';
import {
  createNamespacedMetadata,
  type NamespacedMetadata,
  type NamespacedMetadataOptions,
  type ObjectIdentity,
} from './namespaced-metadata.ts';
import { userAnnotation } from './service-account.ts';

/** That person's groups as of the last mint, as a JSON list. */
const groupsAnnotation = 'tiergate.dev/groups';

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
}

/** How long a GET's answer holds: the annotation of a uid hardly ever changes, and the watch takes over soon. */
const rememberMs = 10_000;

/**
 * The ServiceAccounts of the tier namespaces, by watch. Needs `list` and `watch` on `serviceaccounts` in each of
 * them, and `get` for accounts that the watch has not brought yet.
 */
export function createServiceAccountStore(options: ServiceAccountStoreOptions): ServiceAccountStore {
  const { now = Date.now } = options;
  const answerByUid = new Map<string, { readonly owner: string | undefined; readonly untilMs: number }>();
  const ownerOfGone = new Map<string, string>();
  const pending = new Map<string, Promise<string | undefined>>();
  const accounts = createNamespacedMetadata({
    ...options,
    resource: 'serviceaccounts',
    annotations: [userAnnotation, groupsAnnotation],
    onChange: (namespace, change) => {
      options.onChange?.(namespace, change);
      if (change.type !== 'removed') return;
      const owner = ownerOf(change.object);
      if (owner !== undefined) setBounded(ownerOfGone, change.object.uid, owner);
    },
  });

  async function lookUp(account: ObjectIdentity, signal?: AbortSignal): Promise<KeptMetadata | undefined> {
    const found = await accounts.lookUp(account, signal);
    const owner = found === undefined ? ownerOfGone.get(account.uid) : ownerOf(found);
    setBounded(answerByUid, account.uid, { owner, untilMs: now() + rememberMs });
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
      if (found !== undefined) return ownerOf(found);
      const answer = answerByUid.get(account.uid);
      if (answer !== undefined && now() < answer.untilMs) return answer.owner;
      let asking = pending.get(account.uid);
      if (asking === undefined) {
        asking = askOwner(account);
        pending.set(account.uid, asking);
      }
      return asking;
    },
  };
}

function ownerOf({ annotations }: KeptMetadata): string | undefined {
  const owner = annotations[userAnnotation];
  return owner === '' ? undefined : owner;
}
