import { keyOf, type ObjectKey, type StoredMeta, type StoredObject } from './objects.ts';
import type { Resource } from './resources.ts';
import { qualifiedName } from './status.ts';

/** One change, as etcd would number it. */
export interface StoreEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly resource: Resource;
  /** As it is now; a deleted one as it last was, with the revision of its deletion. */
  readonly object: StoredObject;
  readonly previous: StoredObject | undefined;
  readonly revision: number;
}

/** An object that is to be written; the store gives it its resourceVersion. */
export type Unversioned = Omit<StoredObject, 'metadata'> & {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Omit<StoredMeta, 'resourceVersion'>;
};

export interface ObjectStore {
  /** Counts every write to any resource; the resourceVersion of lists. */
  readonly revision: () => number;
  readonly find: (resource: Resource, key: ObjectKey) => StoredObject | undefined;
  /** Ordered by namespace and name; all namespaces when none is given. */
  readonly list: (resource: Resource, namespace?: string) => readonly StoredObject[];
  /** Everything that lies in a namespace, whatever its resource. */
  readonly contentOf: (
    namespace: string,
  ) => readonly { readonly resource: Resource; readonly object: StoredObject }[];
  /** Creates or replaces, unconditionally: who writes has looked before, in the same tick. */
  readonly write: (resource: Resource, object: Unversioned) => StoredObject;
  readonly erase: (resource: Resource, key: ObjectKey) => void;
  /** Later changes of a resource; undefined once some of them have left the history. */
  readonly eventsSince: (resource: Resource, revision: number) => readonly StoreEvent[] | undefined;
  /** Called for every change, in order, each listener with all of them; returns the way to leave. */
  readonly subscribe: (listener: (event: StoreEvent) => void) => () => void;
  /** Forgets the history, as etcd's compaction does: watches from an earlier revision must list again. */
  readonly compact: () => void;
}

export interface ObjectStoreOptions {
  /** How many changes of each resource are kept for watches that begin in the past; at least 1. */
  readonly historyLimit: number;
}

interface Shelf {
  readonly resource: Resource;
  readonly namespaces: Map<string, Map<string, StoredObject>>;
  history: StoreEvent[];
  /** Changes after this revision are all in the history. */
  completeSince: number;
}

export function createObjectStore(options: ObjectStoreOptions): ObjectStore {
  const shelves = new Map<string, Shelf>();
  const listeners = new Set<(event: StoreEvent) => void>();
  const undelivered: StoreEvent[] = [];
  let delivering = false;
  let revision = 0;

  function shelfOf(resource: Resource): Shelf {
    const id = qualifiedName(resource);
    let shelf = shelves.get(id);
    if (shelf === undefined) {
      shelf = { resource, namespaces: new Map(), history: [], completeSince: 0 };
      shelves.set(id, shelf);
    }
    return shelf;
  }

  function commit(shelf: Shelf, event: StoreEvent): void {
    shelf.history.push(event);
    // Cut in halves: cutting at each event would copy the history each time.
    if (shelf.history.length >= 2 * options.historyLimit) {
      const dropped = shelf.history.length - options.historyLimit;
      shelf.completeSince = shelf.history[dropped - 1]?.revision ?? shelf.completeSince;
      shelf.history = shelf.history.slice(dropped);
    }
    undelivered.push(event);
    deliver();
  }

  /** A listener may write: what that changes is delivered after this event has reached everybody. */
  function deliver(): void {
    if (delivering) return;
    delivering = true;
    try {
      for (let event = undelivered.shift(); event !== undefined; event = undelivered.shift())
        for (const listener of listeners) listener(event);
    } finally {
      delivering = false;
    }
  }

  return {
    revision: () => revision,
    find: (resource, { namespace, name }) => shelfOf(resource).namespaces.get(namespace)?.get(name),
    list: (resource, namespace) => {
      const { namespaces } = shelfOf(resource);
      const chosen = namespace === undefined ? [...namespaces.keys()].sort() : [namespace];
      return chosen.flatMap((name) => inOrder(namespaces.get(name)));
    },
    contentOf: (namespace) =>
      [...shelves.values()].flatMap(({ resource, namespaces }) =>
        resource.namespaced ? inOrder(namespaces.get(namespace)).map((object) => ({ resource, object })) : [],
      ),
    write: (resource, object) => {
      const shelf = shelfOf(resource);
      revision += 1;
      const stored: StoredObject = {
        ...object,
        metadata: { ...object.metadata, resourceVersion: String(revision) },
      };
      const { namespace, name } = keyOf(stored);
      const names = shelf.namespaces.get(namespace) ?? new Map<string, StoredObject>();
      const previous = names.get(name);
      names.set(name, stored);
      shelf.namespaces.set(namespace, names);
      const type = previous === undefined ? 'ADDED' : 'MODIFIED';
      commit(shelf, { type, resource, object: stored, previous, revision });
      return stored;
    },
    erase: (resource, { namespace, name }) => {
      const shelf = shelfOf(resource);
      const names = shelf.namespaces.get(namespace);
      const previous = names?.get(name);
      if (names === undefined || previous === undefined) return;
      names.delete(name);
      if (names.size === 0) shelf.namespaces.delete(namespace);
      revision += 1;
      const metadata = { ...previous.metadata, resourceVersion: String(revision) };
      commit(shelf, { type: 'DELETED', resource, object: { ...previous, metadata }, previous, revision });
    },
    eventsSince: (resource, since) => {
      const shelf = shelfOf(resource);
      if (since < shelf.completeSince) return undefined;
      return shelf.history.filter((event) => event.revision > since);
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    compact: () => {
      for (const shelf of shelves.values()) {
        shelf.history = [];
        shelf.completeSince = revision;
      }
    },
  };
}

function inOrder(objects: ReadonlyMap<string, StoredObject> | undefined): readonly StoredObject[] {
  if (objects === undefined) return [];
  return [...objects.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}
