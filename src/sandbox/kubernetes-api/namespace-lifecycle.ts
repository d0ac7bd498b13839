import type { ObjectStore } from './object-store.ts';
import { keyOf } from './objects.ts';
import type { ObjectWrites } from './object-writes.ts';
import { namespaces, serviceAccounts } from './resources.ts';

const defaultServiceAccount = 'default';

/**
 * What kube-controller-manager does for namespaces, at once instead of in its own time: each has a
 * ServiceAccount `default`, and one that is being deleted is emptied and goes with its last object. The
 * ConfigMap `kube-root-ca.crt` of real namespaces is not made: this server has no certificate.
 */
export function startNamespaceLifecycle(store: ObjectStore, writes: ObjectWrites): void {
  function isActive(name: string): boolean {
    const namespace = store.find(namespaces, { namespace: '', name });
    return namespace !== undefined && namespace.metadata.deletionTimestamp === undefined;
  }

  function ensureDefaultServiceAccount(namespace: string): void {
    const key = { namespace, name: defaultServiceAccount };
    if (!isActive(namespace) || store.find(serviceAccounts, key) !== undefined) return;
    writes.create({ resource: serviceAccounts, key, requester: undefined }, { metadata: { name: key.name } });
  }

  function empty(namespace: string): void {
    for (const { resource, object } of store.contentOf(namespace))
      writes.remove({ resource, key: keyOf(object) });
  }

  function eraseIfEmpty(name: string): void {
    const key = { namespace: '', name };
    const namespace = store.find(namespaces, key);
    if (namespace?.metadata.deletionTimestamp === undefined) return;
    const isHeld = (namespace.metadata.finalizers ?? []).length > 0;
    if (!isHeld && store.contentOf(name).length === 0) store.erase(namespaces, key);
  }

  store.subscribe(({ type, resource, object }) => {
    const { name, namespace = '' } = object.metadata;
    if (resource === namespaces) {
      if (type === 'ADDED') ensureDefaultServiceAccount(name);
      if (object.metadata.deletionTimestamp !== undefined && type === 'MODIFIED') {
        empty(name);
        eraseIfEmpty(name);
      }
      return;
    }
    if (type !== 'DELETED' || namespace === '') return;
    if (resource === serviceAccounts && name === defaultServiceAccount)
      ensureDefaultServiceAccount(namespace);
    eraseIfEmpty(namespace);
  });
}
