import { afterEach, describe, expect, it, vi } from 'vitest';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import {
  createDeniedStore,
  createDeniedWatch,
  type StoredDenial,
} from '../../src/kubernetes/denied-config-map.ts';
import { createRbacWatch } from '../../src/kubernetes/rbac-watch.ts';
import { createTokenObjects } from '../../src/kubernetes/token-objects.ts';
import { createSecret } from '../../src/secret.ts';
import { type EmbeddedApi, startEmbeddedApi } from '../sandbox/embedded-api.ts';

let client: KubernetesClient;
const ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function start(): Promise<EmbeddedApi> {
  const embedded = await startEmbeddedApi();
  const server = `http://127.0.0.1:${embedded.port}`;
  client = createKubernetesClient({
    connection: createFixedConnection({ server, token: createSecret(embedded.adminToken) }),
    timeoutMs: 2_000,
  });
  ends.push(() => client.close());
  return embedded;
}

const namespace = 'default';

function account(name: string, more: object = {}) {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace, ...more } };
}

function secret(name: string) {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace, labels: { 'tiergate.dev/token': 'true' } },
  };
}

describe('what tokens stand on', () => {
  async function follow(namespaces: readonly string[] = [namespace]) {
    const { api } = await start();
    const serviceAccount = { namespace, name: 'alice', uid: api.apply(account('alice')).metadata.uid };
    const bound = { name: 'tgt-1', uid: api.apply(secret('tgt-1')).metadata.uid };
    const store = createTokenObjects({ client, namespaces, rememberMs: 60_000 });
    ends.push(() => store.stop());
    await store.synced();
    return { api, store, serviceAccount, bound };
  }

  it('is present while both are there, and gone when either goes', async () => {
    const { api, store, serviceAccount, bound } = await follow();
    const find = (withSecret: boolean) =>
      store.findPresence({ serviceAccount, ...(withSecret && { secret: bound }) });
    expect([find(true), find(false)]).toEqual(['present', 'present']);
    expect(store.isFollowed(namespace)).toBe(true);
    api.remove(secret('tgt-1'));
    await vi.waitFor(() => expect([find(true), find(false)]).toEqual(['gone', 'present']));
    api.remove(account('alice'));
    await vi.waitFor(() => expect(find(false)).toBe('gone'));
    // Made again under the same name, it is another.
    api.apply(account('alice'));
    expect(await store.lookUpPresence({ serviceAccount })).toBe(false);
    expect(find(false)).toBe('gone');
  });

  it('is absent where the store is followed and does not hold it', async () => {
    const { store, serviceAccount } = await follow();
    expect(store.findPresence({ serviceAccount: { ...serviceAccount, uid: 'another' } })).toBe('absent');
    expect(store.findPresence({ serviceAccount, secret: { name: 'tgt-1', uid: 'another' } })).toBe('absent');
  });

  it('is unknown where nobody follows, until a look has found it, or found it gone', async () => {
    const { api, store, serviceAccount, bound } = await follow([]);
    const objects = { serviceAccount, secret: bound };
    expect(store.findPresence(objects)).toBe('unknown');
    expect(await store.lookUpPresence(objects)).toBe(true);
    expect(store.findPresence(objects)).toBe('present');
    api.remove(secret('tgt-1'));
    const other = { serviceAccount, secret: { name: 'tgt-1', uid: 'never' } };
    expect(await store.lookUpPresence(other)).toBe(false);
    expect(store.findPresence(other)).toBe('gone');
  });

  it('forgets what a look had found as soon as it is followed', async () => {
    const { api, store, serviceAccount } = await follow([]);
    expect(await store.lookUpPresence({ serviceAccount })).toBe(true);
    api.remove(account('alice'));
    expect(store.findPresence({ serviceAccount })).toBe('present');
    store.setNamespaces([namespace]);
    await store.synced();
    expect(store.findPresence({ serviceAccount })).toBe('absent');
  });
});

describe('access rules', () => {
  it('are told of by namespace, or for the whole cluster, and not for what was there before', async () => {
    const { api } = await start();
    const rbac = 'rbac.authorization.k8s.io/v1';
    const role = (name: string, rules: readonly object[]) => ({
      apiVersion: rbac,
      kind: 'Role',
      metadata: { name, namespace },
      rules,
    });
    api.apply(role('before', []));
    const told: (string | undefined)[] = [];
    const watch = createRbacWatch({ client, onChange: (where) => told.push(where) });
    ends.push(watch.stop);
    await watch.synced();
    expect(told).toEqual([]);
    expect(watch.isDown()).toBe(false);
    api.apply(role('new', []));
    await vi.waitFor(() => expect(told).toEqual([namespace]));
    api.remove(role('new', []));
    await vi.waitFor(() => expect(told).toEqual([namespace, namespace]));
    api.apply({ apiVersion: rbac, kind: 'ClusterRole', metadata: { name: 'wide' }, rules: [] });
    await vi.waitFor(() => expect(told).toEqual([namespace, namespace, undefined]));
  });
});

describe('the ConfigMap of tiergate deny', () => {
  const entry = {
    kind: 'user',
    value: 'alice@example.com',
    reason: 'left',
    endsAtMs: 4_000_000_000_000,
  } as const;

  it('is made by the first entry, changed by the others, and followed', async () => {
    const { api } = await start();
    const lists: (readonly StoredDenial[])[] = [];
    const watch = createDeniedWatch({ client, namespace, onList: (denials) => lists.push(denials) });
    ends.push(watch.stop);
    await watch.synced();
    const store = createDeniedStore(client, namespace);
    expect(await store.read()).toEqual([]);
    await store.change(undefined, ['not-there']);
    await store.change(entry, []);
    await vi.waitFor(() => expect(lists.at(-1)?.map((stored) => stored.entry)).toEqual([entry]));
    await store.change({ ...entry, kind: 'jti' }, []);
    const [first] = await store.read();
    await store.change(undefined, [first?.key ?? '']);
    await vi.waitFor(() => expect(lists.at(-1)?.map((stored) => stored.entry?.kind)).toEqual(['jti']));
    // Denying the same name twice is one entry, with what was said last.
    await store.change({ ...entry, kind: 'jti', reason: 'again' }, []);
    expect((await store.read()).map((stored) => stored.entry?.reason)).toEqual(['again']);
    api.remove({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'tiergate-denied', namespace } });
    await vi.waitFor(() => expect(lists.at(-1)).toEqual([]));
  });

  it.each([
    'no JSON',
    '[]',
    '{"kind":"user","value":"u"}',
    '{"kind":"everybody","value":"u","until":"2099-01-01T00:00:00Z"}',
    '{"kind":"user","value":"","until":"2099-01-01T00:00:00Z"}',
  ])('keeps an entry apart that nobody can read: %s', async (text) => {
    const { api } = await start();
    const metadata = { name: 'tiergate-denied', namespace };
    api.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { broken: text } });
    expect(await createDeniedStore(client, namespace).read()).toEqual([{ key: 'broken', entry: undefined }]);
  });
});
