import type { DocumentStore } from '../register/document-store.ts';
import { createKvV1Store } from './kv-v1-store.ts';
import { createKvV2Store } from './kv-v2-store.ts';
import { findFolder } from './mount.ts';
import { missingRightsIn } from './rights.ts';
import type { VaultClient } from './vault-client.ts';

export interface KvStoreOptions {
  readonly client: VaultClient;
  /** Mount and folder, as people write it: `app-sre/integrations/sso`. */
  readonly path: string;
}

export interface KvStore extends DocumentStore {
  /** What we would need to keep documents here and may not do, in words. */
  readonly missingRights: (signal: AbortSignal) => Promise<readonly string[]>;
}

/**
 * A folder of a KV secrets engine, of whichever version is mounted there. Version 1 knows no check-and-set:
 * there a write looks first whether anything changed, which two writers at the same moment can both pass.
 */
export function createKvStore({ client, path }: KvStoreOptions): KvStore {
  const folderAt = (signal: AbortSignal) => findFolder(client, path, signal);
  let known: Promise<DocumentStore> | undefined;

  const storeAt = async (signal: AbortSignal): Promise<DocumentStore> => {
    known ??= folderAt(signal).then((folder) =>
      folder.version === 2 ? createKvV2Store(client, folder) : createKvV1Store(client, folder),
    );
    try {
      return await known;
    } catch (error) {
      // Not remembered: the mount may be there the next time.
      known = undefined;
      throw error;
    }
  };

  return {
    list: async (signal) => (await storeAt(signal)).list(signal),
    read: async (key, signal) => (await storeAt(signal)).read(key, signal),
    write: async (key, content, expected, signal) =>
      (await storeAt(signal)).write(key, content, expected, signal),
    remove: async (key, signal) => (await storeAt(signal)).remove(key, signal),
    missingRights: async (signal) => missingRightsIn(client, await folderAt(signal), signal),
  };
}
