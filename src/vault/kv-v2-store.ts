import { z } from 'zod';
import { type DocumentStore, formatDocument, parseDocument } from '../register/document-store.ts';
import { createSecret } from '../secret.ts';
import { listKeys } from './list-keys.ts';
import type { KvFolder } from './mount.ts';
import { malformed, type VaultClient, type VaultRequest } from './vault-client.ts';

const liveVersion = z.object({
  data: z.object({ data: z.record(z.string(), z.unknown()), metadata: z.object({ version: z.number() }) }),
});

/** Of a version that was deleted, but not its key: 404 with the version's metadata. */
const deletedVersion = z.object({ data: z.object({ metadata: z.object({ version: z.number() }) }) });

const written = z.object({ data: z.object({ version: z.number() }) });
const refusal = z.object({ errors: z.array(z.string()) });

const casMismatch = 'check-and-set parameter did not match the current version';

export function createKvV2Store(client: VaultClient, { mount, path }: KvFolder): DocumentStore {
  const at = (area: 'data' | 'metadata', key: string): string =>
    `${mount}${area}/${path === '' ? '' : `${path}/`}${encodeURIComponent(key)}`;
  const readRequest = (key: string): VaultRequest => ({
    name: 'read_document',
    method: 'GET',
    path: at('data', key),
    expected: [404],
  });

  const put = async (
    key: string,
    content: object,
    cas: number,
    signal: AbortSignal,
  ): Promise<string | undefined> => {
    const request: VaultRequest = {
      name: 'write_document',
      method: 'POST',
      path: at('data', key),
      body: createSecret(JSON.stringify({ options: { cas }, data: content })),
      expected: [400],
    };
    const { status, body } = await client(request, signal);
    if (status === 400) {
      const refused = refusal.safeParse(body);
      if (refused.success && refused.data.errors.some((error) => error.includes(casMismatch)))
        return undefined;
      throw malformed(request);
    }
    const parsed = written.safeParse(body);
    if (!parsed.success) throw malformed(request);
    return String(parsed.data.data.version);
  };

  return {
    list: (signal) => listKeys(client, `${mount}metadata/${path}`, signal),

    read: async (key, signal) => {
      const request = readRequest(key);
      const { status, body } = await client(request, signal);
      if (status === 404) return undefined;
      const parsed = liveVersion.safeParse(body);
      if (!parsed.success) throw malformed(request);
      const { data, metadata } = parsed.data.data;
      return { content: formatDocument(data), version: String(metadata.version) };
    },

    write: async (key, content, expected, signal) => {
      const document = parseDocument(content) ?? {};
      const version = await put(key, document, Number(expected ?? 0), signal);
      if (version !== undefined || expected !== undefined) return version;
      // "Not there" includes "deleted by somebody who left the key": that one is written over its last version.
      const { status, body } = await client(readRequest(key), signal);
      const deleted = deletedVersion.safeParse(body);
      if (status !== 404 || !deleted.success) return undefined;
      return put(key, document, deleted.data.data.metadata.version, signal);
    },

    // The metadata, and with it every version: deleting only the version would leave the key in every listing.
    remove: async (key, signal) => {
      await client(
        { name: 'delete_document', method: 'DELETE', path: at('metadata', key), expected: [404] },
        signal,
      );
    },
  };
}
