import type { FindPresence, LookUpPresence, Presence, TokenObjects } from '../check/presence.ts';
import type { FindGroups, FindOwner } from '../check/subject.ts';
import { setBounded } from './bounded-map.ts';
import type { KubernetesClient } from './client.ts';
import type { KeptMetadata } from './kept-metadata.ts';
import {
  createNamespacedMetadata,
  type NamespacedMetadata,
  type ObjectIdentity,
} from './namespaced-metadata.ts';
import type { ObjectChange } from './object-store.ts';
import type { WatchState, WatchTimings } from './object-watch.ts';
import { createServiceAccountStore } from './service-account-store.ts';
import { tokenSecretLabel } from './token-secret.ts';

/** What issued tokens stand on, by its plural in the API. */
export type TokenResource = 'serviceaccounts' | 'secrets';

export interface TokenObjectsOptions {
  readonly client: Pick<KubernetesClient, 'request' | 'stream'>;
  /** The tier namespaces. */
  readonly namespaces: readonly string[];
  /** How long a GET holds that found an object which the store does not hold, in milliseconds. */
  readonly rememberMs: number;
  readonly onHeard?: (resource: TokenResource) => void;
  readonly onPhase?: (resource: TokenResource, namespace: string, state: WatchState) => void;
  readonly timings?: Partial<WatchTimings>;
  readonly now?: () => number;
  readonly random?: () => number;
}

export interface TokenObjectsStore {
  readonly findPresence: FindPresence;
  readonly lookUpPresence: LookUpPresence;
  readonly findOwner: FindOwner;
  readonly findGroups: FindGroups;
  /** Whether both kinds are followed in this namespace at the moment. */
  readonly isFollowed: (namespace: string) => boolean;
  /** Starts and ends watches as needed. */
  readonly setNamespaces: (namespaces: readonly string[]) => void;
  /** Resolves when every watch had its first answer. */
  readonly synced: () => Promise<void>;
  readonly states: () => Readonly<Record<TokenResource, ReadonlyMap<string, WatchState>>>;
  readonly stop: () => void;
}

/**
 * The ServiceAccounts and token Secrets of the tier namespaces, by metadata-only watches. Needs `get`, `list` and
 * `watch` on both in each of them. RBAC knows no right to metadata alone: `list` on Secrets would let us read them,
 * though nothing here ever asks for more than metadata.
 */
export function createTokenObjects(options: TokenObjectsOptions): TokenObjectsStore {
  const { rememberMs, onHeard, onPhase, now = Date.now, ...rest } = options;
  /** By uid: found by a GET, until when that holds. A watch that knows better ends it. */
  const foundUntilMs = new Map<string, number>();
  /** By uid: not there, which is for good, since no uid comes twice. */
  const gone = new Map<string, true>();

  const follow = (resource: TokenResource) => ({
    ...rest,
    now,
    onHeard: () => onHeard?.(resource),
    onPhase: (namespace: string, state: WatchState) => onPhase?.(resource, namespace, state),
    onChange: (_namespace: string, change: ObjectChange<KeptMetadata>) => {
      if (change.type === 'relisted') foundUntilMs.clear();
      if (change.type === 'removed') {
        foundUntilMs.delete(change.object.uid);
        setBounded(gone, change.object.uid, true);
      }
    },
  });
  const accounts = createServiceAccountStore(follow('serviceaccounts'));
  const secrets = createNamespacedMetadata({
    ...follow('secrets'),
    resource: 'secrets',
    labelSelector: `${tokenSecretLabel}=true`,
    annotations: [],
  });

  function find(store: NamespacedMetadata, object: ObjectIdentity): Presence {
    const kept = store.find(object);
    // Whoever deletes it wants it to be over, whatever a finalizer still has to do.
    if (kept !== undefined) return kept.isEnding === true ? 'gone' : 'present';
    if (gone.has(object.uid)) return 'gone';
    if (now() < (foundUntilMs.get(object.uid) ?? 0)) return 'present';
    return store.isUp(object.namespace) ? 'absent' : 'unknown';
  }

  async function isThere(store: NamespacedMetadata, object: ObjectIdentity): Promise<boolean> {
    if (find(store, object) === 'present') return true;
    const found = await store.lookUp(object);
    if (found === undefined || found.isEnding === true) setBounded(gone, object.uid, true);
    // Removed while the answer was on its way: the watch was faster.
    if (gone.has(object.uid)) return false;
    setBounded(foundUntilMs, object.uid, now() + rememberMs);
    return true;
  }

  return {
    findPresence: ({ serviceAccount, secret }) => {
      const account = find(accounts, serviceAccount);
      if (secret === undefined || account === 'gone') return account;
      const bound = find(secrets, { namespace: serviceAccount.namespace, ...secret });
      // One that is gone says more than one that is not known.
      return bound === 'present' || (bound !== 'gone' && account === 'absent') ? account : bound;
    },
    lookUpPresence: async ({ serviceAccount, secret }: TokenObjects) => {
      const looks = [isThere(accounts, serviceAccount)];
      if (secret !== undefined) {
        looks.push(isThere(secrets, { namespace: serviceAccount.namespace, ...secret }));
      }
      return (await Promise.all(looks)).every(Boolean);
    },
    findOwner: accounts.findOwner,
    findGroups: accounts.findGroups,
    isFollowed: (namespace) => accounts.isUp(namespace) && secrets.isUp(namespace),
    setNamespaces(namespaces) {
      accounts.setNamespaces(namespaces);
      secrets.setNamespaces(namespaces);
    },
    synced: async () => void (await Promise.all([accounts.synced(), secrets.synced()])),
    states: () => ({ serviceaccounts: accounts.states(), secrets: secrets.states() }),
    stop() {
      accounts.stop();
      secrets.stop();
    },
  };
}
