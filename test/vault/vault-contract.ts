import { describe, expect, test } from 'vitest';
import { createFetchJson } from '../../src/fetch-json.ts';
import { type DocumentStore, formatDocument } from '../../src/register/document-store.ts';
import { createSecret } from '../../src/secret.ts';
import { createKvStore, type KvStore } from '../../src/vault/kv-store.ts';
import { createVaultClient, type VaultClient } from '../../src/vault/vault-client.ts';
import { describeDocumentStore } from '../register/document-store-contract.ts';

/** A Vault under test: a real one, or one that claims to answer like it. KV v2 at `secret/`, v1 at `legacy/`. */
export interface VaultUnderTest {
  readonly url: string;
  readonly roleId: string;
  readonly secretId: string;
  readonly expireLogins: () => Promise<void>;
  readonly setSealed: (isSealed: boolean) => Promise<void>;
  /** Below `secret/`. */
  readonly softDelete: (key: string) => Promise<void>;
  /** Credentials of a role that may read and list `secret/` and nothing else. */
  readonly reader: { readonly roleId: string; readonly secretId: string };
}

const signal = new AbortController().signal;

export function clientOf(
  vault: Pick<VaultUnderTest, 'url' | 'roleId' | 'secretId'>,
  timeoutMs = 10_000,
): VaultClient {
  return createVaultClient({
    url: vault.url,
    namespace: undefined,
    login: {
      method: 'approle',
      mount: 'approle',
      roleId: async () => createSecret(vault.roleId),
      secretId: async () => createSecret(vault.secretId),
    },
    fetchJson: createFetchJson({ dependency: 'vault', timeoutMs }),
    now: Date.now,
  });
}

export function describeVault(name: string, vaultUnderTest: () => VaultUnderTest): void {
  for (const [mount, checksAndSets] of [
    ['secret', true],
    ['legacy', false],
  ] as const) {
    describeDocumentStore(
      `${name}, KV at ${mount}/`,
      async (folder): Promise<DocumentStore> =>
        createKvStore({ client: clientOf(vaultUnderTest()), path: `${mount}/${folder}` }),
      { checksAndSets },
    );
  }

  const open = (folder: string): KvStore =>
    createKvStore({ client: clientOf(vaultUnderTest()), path: `secret/${folder}` });

  describe(name, () => {
    test('logs in again when a login ran out, in the middle of its work', async () => {
      const store = open('relogin');
      await store.write('x', formatDocument({ a: 1 }), undefined, signal);
      await vaultUnderTest().expireLogins();
      expect(await store.read('x', signal)).toBeDefined();
      await vaultUnderTest().expireLogins();
      expect(await store.write('y', formatDocument({ a: 1 }), undefined, signal)).toBeDefined();
    });

    test('says that it is we who are refused when the login is wrong', async () => {
      const client = clientOf({ ...vaultUnderTest(), secretId: 'not-the-secret-id' });
      const store = createKvStore({ client, path: 'secret/x' });
      await expect(store.list(signal)).rejects.toMatchObject({ dependency: 'vault', code: 'misconfigured' });
    });

    test('throws while it is sealed, and goes on when it is not any more', async () => {
      const store = open('sealed');
      await store.write('x', formatDocument({ a: 1 }), undefined, signal);
      await vaultUnderTest().setSealed(true);
      await expect(store.write('y', formatDocument({ a: 1 }), undefined, signal)).rejects.toMatchObject({
        dependency: 'vault',
        code: 'failed',
      });
      await expect(store.read('x', signal)).rejects.toMatchObject({ dependency: 'vault' });
      await vaultUnderTest().setSealed(false);
      expect(await store.read('x', signal)).toBeDefined();
    });

    test('does not read what somebody else soft-deleted, and writes over it', async () => {
      const store = open('soft');
      await store.write('x', formatDocument({ a: 1 }), undefined, signal);
      await vaultUnderTest().softDelete('soft/x');
      expect(await store.read('x', signal)).toBeUndefined();
      expect(await store.write('x', formatDocument({ a: 2 }), undefined, signal)).toBeDefined();
      expect(await store.read('x', signal)).toBeDefined();
    });

    test('knows which rights are missing without trying them', async () => {
      expect(await open('rights').missingRights(signal)).toEqual([]);
      const client = clientOf({ ...vaultUnderTest(), ...vaultUnderTest().reader });
      const store = createKvStore({ client, path: 'secret/rights' });
      expect(await store.missingRights(signal)).toEqual([
        'create, update on secret/data/rights/any-key is not allowed by any policy',
        'delete on secret/metadata/rights/any-key is not allowed by any policy',
      ]);
      await expect(store.write('x', formatDocument({ a: 1 }), undefined, signal)).rejects.toMatchObject({
        code: 'misconfigured',
      });
    });

    test('shows no secret in what it throws', async () => {
      const vault = vaultUnderTest();
      const client = clientOf({ ...vault, url: 'http://127.0.0.1:1' });
      const store = createKvStore({ client, path: 'secret/x' });
      const error: unknown = await store.list(signal).catch((cause: unknown) => cause);
      expect(error).toMatchObject({ dependency: 'vault', code: 'unreachable' });
      expect(`${String(error)}${JSON.stringify(error)}`).not.toContain(vault.secretId);
    });
  });
}
