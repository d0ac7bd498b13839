import { DependencyError } from '../dependency-error.ts';
import { createObjectStore, type Kept } from './object-store.ts';
import type { ObjectWatch, ObjectWatchOptions, WatchPhase, WatchState } from './object-watch.ts';
import type { FollowElsewhere, WatchNews } from './relay-news.ts';

/** As a watch of our own, but told by the process that watches for all. */
export function createRelayedWatch<Thing extends Kept>(
  follow: FollowElsewhere,
  options: Pick<ObjectWatchOptions<Thing>, 'collection' | 'onChange' | 'onHeard' | 'onPhase' | 'now'>,
): ObjectWatch<Thing> {
  const { collection, now = Date.now } = options;
  const { read, ...place } = collection;
  const store = createObjectStore<Thing>((change) => options.onChange?.(change));
  let settle: () => void = () => undefined;
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  let state = stateOf('starting', now(), undefined);
  let listed = new Map<string, Thing>();

  function stateOf(phase: WatchPhase, sinceMs: number, fault: DependencyError | undefined): WatchState {
    return {
      phase,
      sinceMs,
      fault,
      get objects() {
        return store.size();
      },
    };
  }

  function readObject(object: unknown): Thing | undefined {
    const thing = read(object);
    // Told on as the API server sent it: what this process can not read, the other could not have either.
    if (thing === undefined) enter('down', now(), unreadable(collection.path));
    return thing;
  }

  function enter(phase: WatchPhase, sinceMs: number, fault: DependencyError | undefined): void {
    const isNew = state.phase !== phase;
    state = stateOf(phase, sinceMs, fault);
    if (isNew) options.onPhase?.(state);
    if (phase === 'up' || phase === 'refused') settle();
  }

  function take(news: WatchNews): void {
    if (news.type === 'phase') {
      const { phase, sinceMs, fault } = news;
      const { code, ...detail } = fault ?? {};
      enter(phase, sinceMs, code && new DependencyError('kubernetes', code, detail));
      return;
    }
    options.onHeard?.();
    if (news.type === 'removed') store.remove(news.uid);
    if (news.type === 'set') {
      const thing = readObject(news.object);
      if (thing !== undefined) store.set(thing);
    }
    if (news.type === 'list') {
      for (const object of news.objects) {
        const thing = readObject(object);
        if (thing !== undefined) listed.set(thing.uid, thing);
      }
      if (!news.isLast) return;
      store.replace(listed);
      listed = new Map();
    }
  }

  const stop = follow(place, take);
  return {
    get: store.get,
    values: store.values,
    state: () => state,
    isUp: () => state.phase === 'up',
    isDown: () => state.phase === 'down',
    settled: () => settled,
    stop() {
      stop();
      settle();
    },
  };
}

function unreadable(path: string): DependencyError {
  return new DependencyError('kubernetes', 'malformed', { detail: `${path}: an object of another shape` });
}
