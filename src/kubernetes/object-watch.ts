import { setTimeout as sleep } from 'node:timers/promises';
import { type DependencyError, isDependencyError } from '../dependency-error.ts';
import type { KubernetesClient } from './client.ts';
import { type Collection, listCollection, type Refusal, watchCollection } from './collection.ts';
import { createObjectStore, type Kept, type ObjectChange } from './object-store.ts';
import { createRelayedWatch } from './relayed-watch.ts';
import type { FollowElsewhere } from './relay-news.ts';

export interface WatchTimings {
  /** How long the server is asked to keep a watch open; drawn between this and twice this. Default 300 000. */
  readonly lifetimeMs: number;
  /** Silence after which a watch is taken for dead. Default 90 000: an API server sends a bookmark each minute. */
  readonly idleTimeoutMs: number;
  /** For one page of a list. Default 30 000. */
  readonly listTimeoutMs: number;
  /** The first pause after a failure; it doubles up to `maxPauseMs`. Each is shortened by up to half. Default 100. */
  readonly minPauseMs: number;
  /** Default 5 000. */
  readonly maxPauseMs: number;
  /** How long the step from one watch to the next may take until the phase is `down`. Default 1 000. */
  readonly graceMs: number;
  /** Age at which everything is listed again, for whatever may have been missed. Default an hour. */
  readonly relistMs: number;
}

const defaultTimings: WatchTimings = {
  lifetimeMs: 300_000,
  idleTimeoutMs: 90_000,
  listTimeoutMs: 30_000,
  minPauseMs: 100,
  maxPauseMs: 5_000,
  graceMs: 1_000,
  relistMs: 3_600_000,
};

/**
 * - `starting`: not yet listed and followed; of what is not in the store nothing is known
 * - `up`: the store follows the cluster, within milliseconds
 * - `down`: it was followed once and is not now: what is in it was there, what is not may be by now
 * - `refused`: we may not list it, or the cluster has no such kind; asked again from time to time
 */
export type WatchPhase = 'starting' | 'up' | 'down' | 'refused';

export interface WatchState {
  readonly phase: WatchPhase;
  /** When the phase began, in epoch milliseconds. */
  readonly sinceMs: number;
  /** As of when it is read. */
  readonly objects: number;
  /** What went wrong last; undefined while the phase is `up`. */
  readonly fault: DependencyError | undefined;
}

/** What a watch needs of a client. */
export type WatchClient = Pick<KubernetesClient, 'request' | 'stream'> & {
  /** Where another process of this host watches for all. */
  readonly followElsewhere?: FollowElsewhere;
};

export interface ObjectWatchOptions<Thing extends Kept> {
  readonly client: WatchClient;
  readonly collection: Collection<Thing>;
  readonly onChange?: (change: ObjectChange<Thing>) => void;
  /** Each time that something came: a list, an event, a bookmark. */
  readonly onHeard?: () => void;
  /** Each time that the phase changes. */
  readonly onPhase?: (state: WatchState) => void;
  readonly timings?: Partial<WatchTimings>;
  readonly now?: () => number;
  /** In [0, 1). */
  readonly random?: () => number;
}

export interface ObjectWatch<Thing extends Kept> {
  readonly get: (uid: string) => Thing | undefined;
  readonly values: () => Iterable<Thing>;
  readonly state: () => WatchState;
  /** Whether the phase is `up`, or `down`, for those who ask often. */
  readonly isUp: () => boolean;
  readonly isDown: () => boolean;
  /** Resolves at the first answer: everything is listed and followed, or it is refused. Also when stopped before. */
  readonly settled: () => Promise<void>;
  readonly stop: () => void;
}

/** A watch that ends sooner and without a word must not be asked for in a loop. */
const shortLifeMs = 1_000;

/**
 * Keeps what `read` makes of every object of a collection, the way informers do: list, watch from there, go on where
 * a watch ended, list again when that is too long ago (410). Whatever fails is tried again for ever; what is kept
 * stays meanwhile. Needs `list` and `watch` on the collection.
 */
export function createObjectWatch<Thing extends Kept>(
  options: ObjectWatchOptions<Thing>,
): ObjectWatch<Thing> {
  const { client, collection, now = Date.now, random = Math.random } = options;
  if (client.followElsewhere !== undefined) return createRelayedWatch(client.followElsewhere, options);
  const timings: WatchTimings = { ...defaultTimings, ...options.timings };
  const store = createObjectStore<Thing>((change) => options.onChange?.(change));
  const ending = new AbortController();
  const { signal } = ending;
  let settle: () => void = () => undefined;
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  let phase: WatchPhase = 'starting';
  let sinceMs = now();
  let fault: DependencyError | undefined;
  /** Where to go on watching; undefined: list first. */
  let resourceVersion: string | undefined;
  let listedAtMs = 0;

  const state = (): WatchState => ({
    phase,
    sinceMs,
    fault,
    get objects() {
      return store.size();
    },
  });

  function enter(next: WatchPhase, why?: DependencyError): void {
    fault = why;
    if (next === 'up' || next === 'refused') settle();
    if (phase === next) return;
    phase = next;
    sinceMs = now();
    options.onPhase?.(state());
  }

  async function list(): Promise<Refusal | undefined> {
    const listed = await listCollection(client, collection, { timeoutMs: timings.listTimeoutMs, signal });
    if ('refused' in listed) return listed;
    store.replace(listed.objectByUid);
    resourceVersion = listed.resourceVersion;
    listedAtMs = now();
    options.onHeard?.();
    return undefined;
  }

  /** Until the watch ends. Whether it did what a watch is for: last, or tell something. */
  async function follow(onOpen: () => void): Promise<boolean | Refusal> {
    if (resourceVersion === undefined || now() - listedAtMs >= timings.relistMs) {
      const refused = await list();
      if (refused !== undefined) return refused;
    }
    const events = await watchCollection(client, collection, {
      resourceVersion: resourceVersion ?? '',
      lifetimeMs: timings.lifetimeMs * (1 + random()),
      idleTimeoutMs: timings.idleTimeoutMs,
      signal,
    });
    if (events === 'expired') {
      resourceVersion = undefined;
      return false;
    }
    if ('refused' in events) return events;
    onOpen();
    const openedAtMs = now();
    let hasTold = false;
    for await (const event of events) {
      options.onHeard?.();
      if (event.type === 'expired') {
        resourceVersion = undefined;
        return hasTold;
      }
      if (event.type === 'set') store.set(event.object);
      if (event.type === 'removed') store.remove(event.object.uid);
      resourceVersion = event.resourceVersion;
      hasTold = true;
    }
    return hasTold || now() - openedAtMs >= shortLifeMs;
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      // Between two watches the store counts as followed still, unless the next one is long in coming.
      const grace = setTimeout(() => {
        if (phase === 'up') enter('down');
      }, timings.graceMs);
      let waitMs = 0;
      try {
        const outcome = await follow(() => {
          clearTimeout(grace);
          enter('up');
        });
        failures = outcome === true ? 0 : failures + 1;
        if (typeof outcome === 'object') enter('refused', outcome.refused);
        // Once more at once: a server that ends a watch, or has forgotten its beginning, is not in trouble.
        if (failures > 1 || typeof outcome === 'object') waitMs = pauseMs(failures);
      } catch (error) {
        if (signal.aborted) break;
        if (!isDependencyError(error)) throw error;
        failures += 1;
        waitMs = pauseMs(failures) + Math.min(error.retryAfterMs ?? 0, 10 * timings.maxPauseMs);
        enter(phase === 'up' ? 'down' : phase, error);
      } finally {
        clearTimeout(grace);
      }
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
    settle();
  }

  function pauseMs(failures: number): number {
    const longestMs = Math.min(timings.maxPauseMs, timings.minPauseMs * 2 ** Math.min(failures - 1, 20));
    return longestMs * (1 - random() / 2);
  }

  void run();
  return {
    get: store.get,
    values: store.values,
    state,
    isUp: () => phase === 'up',
    isDown: () => phase === 'down',
    settled: () => settled,
    stop: () => ending.abort(),
  };
}
