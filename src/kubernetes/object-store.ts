/** The little that is kept of an object of the cluster. */
export interface Kept {
  readonly uid: string;
}

/**
 * - `set`: it is new or was changed
 * - `removed`: it is gone
 * - `relisted`: anything may have changed, by a look at all of them after a time without events
 */
export type ObjectChange<Thing extends Kept> =
  | { readonly type: 'set' | 'removed'; readonly object: Thing }
  | { readonly type: 'relisted' };

/** Objects by uid: one that is made again under the same name is another object. */
export interface ObjectStore<Thing extends Kept> {
  readonly get: (uid: string) => Thing | undefined;
  readonly values: () => Iterable<Thing>;
  readonly size: () => number;
  readonly set: (object: Thing) => void;
  readonly remove: (uid: string) => void;
  /** All that there is, by a list that is complete. */
  readonly replace: (objects: ReadonlyMap<string, Thing>) => void;
}

export function createObjectStore<Thing extends Kept>(
  onChange: (change: ObjectChange<Thing>) => void,
): ObjectStore<Thing> {
  let objectByUid = new Map<string, Thing>();

  return {
    get: (uid) => objectByUid.get(uid),
    values: () => objectByUid.values(),
    size: () => objectByUid.size,
    set: (object) => {
      objectByUid.set(object.uid, object);
      onChange({ type: 'set', object });
    },
    remove: (uid) => {
      const object = objectByUid.get(uid);
      if (object === undefined) return;
      objectByUid.delete(uid);
      onChange({ type: 'removed', object });
    },
    replace: (objects) => {
      const before = objectByUid;
      objectByUid = new Map(objects);
      for (const object of before.values()) {
        if (!objectByUid.has(object.uid)) onChange({ type: 'removed', object });
      }
      onChange({ type: 'relisted' });
    },
  };
}
