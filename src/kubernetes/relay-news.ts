import type { DependencyFault } from '../dependency-error.ts';
import type { Collection } from './collection.ts';
import type { Kept } from './object-store.ts';
import type { WatchPhase } from './object-watch.ts';

/**
 * What processes of one host tell each other so that one of them watches for all: every message is plain data, as
 * node:child_process carries it (JSON), in the order in which it was sent.
 */

/** Which objects: all that a {@link Collection} says besides how they are read. */
export type CollectionPlace = Omit<Collection<Kept>, 'read'>;

/** From a process that wants to be told. */
export type RelayRequest =
  | { readonly type: 'follow'; readonly watch: number; readonly place: CollectionPlace }
  | { readonly type: 'unfollow'; readonly watch: number };

/** To it. */
export interface RelayNews {
  /** As the process that asked has numbered it. */
  readonly watch: number;
  readonly news: WatchNews;
}

export type WatchNews =
  /** All objects, in pieces; the last one makes them what there is. */
  | { readonly type: 'list'; readonly objects: readonly unknown[]; readonly isLast: boolean }
  | { readonly type: 'set'; readonly object: unknown }
  | { readonly type: 'removed'; readonly uid: string }
  /** The API server said something, if only that nothing changed. */
  | { readonly type: 'heard' }
  | {
      readonly type: 'phase';
      readonly phase: WatchPhase;
      readonly sinceMs: number;
      readonly fault?: { readonly code: DependencyFault; readonly detail: string };
    };

/** Port: objects as another process follows them. The function that comes back ends it. */
export type FollowElsewhere = (place: CollectionPlace, told: (news: WatchNews) => void) => () => void;
