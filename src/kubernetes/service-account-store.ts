import type { ServiceAccountIdentity } from '../check/principal.ts';
import type { FindOwner } from '../check/subject.ts';
import type { KubernetesClient } from './client.ts';
import type { KeptMetadata } from './kept-metadata.ts';
import { createNamespacedMetadata, type NamespacedMetadata } from './namespaced-metadata.ts';
import type { WatchState, WatchTimings } from './object-watch.ts';
import { userAnnotation } from './service-account.ts';

/** That person's groups as of the last mint, as a JSON list. */
const groupsAnnotation = 'tiergate.dev/groups';

export interface ServiceAccountStoreOptions {
  readonly client: Pick<KubernetesClient, 'request' | 'stream'>;
  /** The tier namespaces; one that does not exist yet holds nothing. */
  readonly namespaces: readonly string[];
  readonly onPhase?: (namespace: string, state: WatchState) => void;
  readonly timings?: Partial<WatchTimings>;
  readonly now?: () => number;
  readonly random?: () => number;
}

export interface ServiceAccountStore extends NamespacedMetadata {
  /**
   * From the store; of an account that is not in it, by one GET for all who ask at the time, remembered for
   * some seconds. An account that is gone keeps its owner, so that a token that outlives it by a moment
   * is counted as before.
   */
  readonly findOwner: FindOwner;
}

/** How long a GET's answer holds: the annotation of a uid hardly ever changes, and the watch takes over soon. */
const rememberMs = 5_000;
/** Answers of GETs, and owners of accounts that are gone: some hundred bytes each. */
const maxRemembered = 10_000;

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
    onChange: (_namespace, change) => {
      if (change.type !== 'removed') return;
      const owner = ownerOf(change.object);
      if (owner !== undefined) setBounded(ownerOfGone, change.object.uid, owner);
    },
  });

  async function askOwner(account: ServiceAccountIdentity): Promise<string | undefined> {
    const { uid } = account;
    try {
      const found = await accounts.lookUp(account);
      const owner = found === undefined ? ownerOfGone.get(uid) : ownerOf(found);
      setBounded(answerByUid, uid, { owner, untilMs: now() + rememberMs });
      return owner;
    } finally {
      pending.delete(uid);
    }
  }

  return {
    ...accounts,
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

/** The oldest entry makes room. */
function setBounded<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  if (map.size >= maxRemembered) {
    const [oldest] = map.keys();
    if (oldest !== undefined) map.delete(oldest);
  }
  map.set(key, value);
}
