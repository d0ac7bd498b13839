import { createHash } from 'node:crypto';
import { z } from 'zod';
import {
  canonicalText,
  type DocumentFields,
  type DocumentStore,
  formatDocument,
  parseDocument,
  type StoredDocument,
} from '../register/document-store.ts';
import { createSecret } from '../secret.ts';
import { listKeys } from './list-keys.ts';
import type { KvFolder } from './mount.ts';
import { malformed, type VaultClient, type VaultRequest } from './vault-client.ts';

const readAnswer = z.object({ data: z.record(z.string(), z.unknown()) });

/** A document's version is a digest of what it says. */
export function createKvV1Store(client: VaultClient, { mount, path }: KvFolder): DocumentStore {
  const at = (key: string): string => `${mount}${path === '' ? '' : `${path}/`}${encodeURIComponent(key)}`;

  const read = async (key: string, signal: AbortSignal): Promise<StoredDocument | undefined> => {
    const request: VaultRequest = { name: 'read_document', method: 'GET', path: at(key), expected: [404] };
    const { status, body } = await client(request, signal);
    if (status === 404) return undefined;
    const parsed = readAnswer.safeParse(body);
    if (!parsed.success) throw malformed(request);
    return { content: formatDocument(parsed.data.data), version: versionOf(parsed.data.data) };
  };

  return {
    list: (signal) => listKeys(client, `${mount}${path}`, signal),
    read,

    write: async (key, content, expected, signal) => {
      if ((await read(key, signal))?.version !== expected) return undefined;
      const document = parseDocument(content) ?? {};
      const body = createSecret(JSON.stringify(document));
      await client({ name: 'write_document', method: 'POST', path: at(key), body }, signal);
      return versionOf(document);
    },

    remove: async (key, signal) => {
      await client({ name: 'delete_document', method: 'DELETE', path: at(key), expected: [404] }, signal);
    },
  };
}

function versionOf(document: DocumentFields): string {
  return createHash('sha256').update(canonicalText(document)).digest('base64url');
}
