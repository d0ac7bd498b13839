import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { isDependencyError } from '../../src/dependency-error.ts';
import type { KubernetesClient } from '../../src/kubernetes/client.ts';
import {
  createServiceAccountStore,
  type ServiceAccountStore,
} from '../../src/kubernetes/service-account-store.ts';
import { type AuthorizerWorld, createAuthorizerWorld, type StartCluster } from './authorizer-world.ts';
import { eventually, uniqueName } from './kubernetes-api-world.ts';

/** The port FindOwner, from watched ServiceAccounts. */
export function describeOwner(name: string, start: StartCluster): void {
  describe(`owners of ServiceAccounts by ${name}`, () => {
    let world: AuthorizerWorld;
    const stores: ServiceAccountStore[] = [];

    beforeAll(async () => {
      world = await createAuthorizerWorld(await start());
    });
    afterEach(() => {
      for (const store of stores.splice(0)) store.stop();
    });
    afterAll(() => world.stop());

    function watch(
      namespaces: readonly string[],
      client: KubernetesClient = world.client,
    ): ServiceAccountStore {
      const store = createServiceAccountStore({
        client,
        namespaces,
        timings: { minPauseMs: 10, maxPauseMs: 200 },
      });
      stores.push(store);
      return store;
    }

    async function watchFollowing(namespace: string): Promise<ServiceAccountStore> {
      const store = watch([namespace]);
      await vi.waitFor(() => expect(store.isUp(namespace)).toBe(true), eventually);
      return store;
    }

    const shortly = { timeout: 5_000, interval: 2 };

    it('knows those that are there from the first sync on, and asks nobody for them', async () => {
      const namespace = await world.makeTierNamespace();
      const alice = await world.makeAccount(namespace, { user: 'Alice@example.com' });
      const nobody = await world.makeAccount(namespace);
      const store = watch([namespace]);
      await store.synced();
      expect(store.isSynced()).toBe(true);
      // Values, not promises: the hot path does not wait.
      expect(store.findOwner(alice)).toBe('Alice@example.com');
      expect(store.findOwner(nobody)).toBeUndefined();
      expect(store.states().get(namespace)?.objects).toBeGreaterThanOrEqual(2);
    });

    it('learns of new, changed and deleted ones', async () => {
      const namespace = await world.makeTierNamespace();
      const store = await watchFollowing(namespace);
      const account = await world.makeAccount(namespace, { user: 'bob' });
      await vi.waitFor(() => expect(store.find(account)).toBeDefined(), shortly);
      expect(store.findOwner(account)).toBe('bob');

      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account.name}`;
      await world.admin('PUT', path, {
        metadata: { name: account.name, annotations: { 'tiergate.dev/user': 'robert' } },
      });
      await vi.waitFor(() => expect(store.findOwner(account)).toBe('robert'), shortly);

      await world.deleteAccount(account);
      await vi.waitFor(() => expect(store.find(account)).toBeUndefined(), shortly);
      // Its last tokens are counted as before.
      expect(await store.findOwner(account)).toBe('robert');
    });

    it('keeps apart an account and the one that was made again under its name', async () => {
      const namespace = await world.makeTierNamespace();
      const store = await watchFollowing(namespace);
      const first = await world.makeAccount(namespace, { user: 'first' });
      await vi.waitFor(() => expect(store.find(first)).toBeDefined(), shortly);
      await world.deleteAccount(first);
      const second = await world.makeAccount(namespace, { name: first.name, user: 'second' });
      await vi.waitFor(() => expect(store.find(second)).toBeDefined(), shortly);
      expect(store.find(first)).toBeUndefined();
      expect(store.findOwner(second)).toBe('second');
      expect(await store.findOwner(first)).toBe('first');
      expect(store.find({ ...second, name: 'another-name' })).toBeUndefined();
    });

    it('asks once for an account that the watch has not brought, however many want to know', async () => {
      const namespace = await world.makeTierNamespace();
      const account = await world.makeAccount(namespace, { user: 'carol' });
      const gone = { ...account, uid: '00000000-0000-0000-0000-000000000000' };
      const paths: string[] = [];
      const request: KubernetesClient['request'] = async (wanted) => {
        paths.push(wanted.path);
        return world.client.request(wanted);
      };
      const store = watch([], { ...world.client, request });
      const owners = await Promise.all(Array.from({ length: 50 }, async () => store.findOwner(account)));
      expect(new Set(owners)).toEqual(new Set(['carol']));
      expect(paths).toHaveLength(1);
      expect(store.findOwner(account)).toBe('carol');
      // Another account of that name is not this one.
      expect(await store.findOwner(gone)).toBeUndefined();
      expect(store.findOwner(gone)).toBeUndefined();
      expect(await store.findOwner({ ...account, name: uniqueName('absent'), uid: 'x' })).toBeUndefined();
      expect(paths).toHaveLength(3);
    });

    it('follows the namespaces that it is told to', async () => {
      const first = await world.makeTierNamespace();
      const second = await world.makeTierNamespace();
      const alice = await world.makeAccount(first, { user: 'alice' });
      const bob = await world.makeAccount(second, { user: 'bob' });
      const store = watch([first]);
      await store.synced();
      expect(store.find(bob)).toBeUndefined();
      store.setNamespaces([first, second]);
      expect(store.isSynced()).toBe(false);
      await store.synced();
      expect(store.findOwner(alice)).toBe('alice');
      expect(store.findOwner(bob)).toBe('bob');
      store.setNamespaces([second]);
      expect(store.find(alice)).toBeUndefined();
      expect([...store.states().keys()]).toEqual([second]);
    });

    it('does not wait for a namespace that is not there, and finds its accounts once it is', async () => {
      const namespace = uniqueName('maas-default-gateway-tier');
      const store = watch([namespace]);
      await store.synced();
      expect(store.isUp(namespace)).toBe(false);
      expect(store.states().get(namespace)).toMatchObject({ phase: 'refused', objects: 0 });
      await world.makeTierNamespace(namespace);
      const account = await world.makeAccount(namespace, { user: 'dora' });
      await vi.waitFor(() => expect(store.find(account)).toBeDefined(), eventually);
      await vi.waitFor(() => expect(store.isUp(namespace)).toBe(true), eventually);
    });

    it('answers from what it has while the API server is away, and can not tell the rest', async () => {
      const namespace = await world.makeTierNamespace();
      const account = await world.makeAccount(namespace, { user: 'erin' });
      const store = await watchFollowing(namespace);
      await world.cluster.goAway();
      await vi.waitFor(() => expect(store.isUp(namespace)).toBe(false), eventually);
      expect(store.findOwner(account)).toBe('erin');
      const unknown = { ...account, uid: 'not-in-the-store' };
      const fault: unknown = await Promise.resolve(store.findOwner(unknown)).catch((error: unknown) => error);
      expect(isDependencyError(fault) && fault.code).toBe('unreachable');

      await world.cluster.comeBack();
      await vi.waitFor(() => expect(store.isUp(namespace)).toBe(true), eventually);
      const later = await world.makeAccount(namespace, { user: 'fay' });
      await vi.waitFor(() => expect(store.findOwner(later)).toBe('fay'), shortly);
      expect(await store.findOwner(unknown)).toBeUndefined();
    });
  });
}
