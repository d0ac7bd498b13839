import type { ObjectStore } from './object-store.ts';
import { keyOf, type ObjectKey, type StoredObject } from './objects.ts';
import type { ObjectWrites } from './object-writes.ts';
import type { Resource } from './resources.ts';

interface Place {
  readonly resource: Resource;
  readonly key: ObjectKey;
}

/**
 * Deletes what has only owners that are gone, or never were, as kube-controller-manager's garbage collector
 * does; there within seconds, here at once. Owners are told apart by uid alone.
 */
export function startGarbageCollector(store: ObjectStore, writes: ObjectWrites): void {
  const living = new Set<string>();
  const dependentsByOwner = new Map<string, Map<string, Place>>();

  function collectOrphan(resource: Resource, object: StoredObject): void {
    const owners = object.metadata.ownerReferences ?? [];
    if (owners.length === 0 || owners.some((owner) => living.has(owner.uid))) return;
    writes.remove({ resource, key: keyOf(object) });
  }

  store.subscribe(({ type, resource, object }) => {
    const { uid, ownerReferences = [] } = object.metadata;
    if (type !== 'DELETED') {
      living.add(uid);
      for (const owner of ownerReferences) {
        const dependents = dependentsByOwner.get(owner.uid) ?? new Map<string, Place>();
        dependentsByOwner.set(owner.uid, dependents.set(uid, { resource, key: keyOf(object) }));
      }
      const current = store.find(resource, keyOf(object));
      if (current?.metadata.uid === uid) collectOrphan(resource, current);
      return;
    }
    living.delete(uid);
    const dependents = dependentsByOwner.get(uid) ?? new Map<string, Place>();
    dependentsByOwner.delete(uid);
    for (const [dependentUid, place] of dependents) {
      // It may be gone by now, or belong to others.
      const current = store.find(place.resource, place.key);
      if (current?.metadata.uid === dependentUid) collectOrphan(place.resource, current);
    }
  });
}
