import { z } from 'zod';
import { createSecret } from '../secret.ts';
import type { KvFolder } from './mount.ts';
import { malformed, type VaultClient, type VaultRequest } from './vault-client.ts';

const answer = z.object({ data: z.record(z.string(), z.unknown()) });
const capabilities = z.array(z.string());

/** Stands for any key: policies are written for all of a folder. */
const anyKey = 'any-key';

/**
 * Asks Vault what we may do (`sys/capabilities-self`), so that a missing right shows in a dry run and not
 * between a registration and the record that it needs.
 */
export async function missingRightsIn(
  client: VaultClient,
  folder: KvFolder,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const needed = neededIn(folder);
  const request: VaultRequest = {
    name: 'check_rights',
    method: 'POST',
    path: 'sys/capabilities-self',
    body: createSecret(JSON.stringify({ paths: Object.keys(needed) })),
  };
  const parsed = answer.safeParse((await client(request, signal)).body);
  if (!parsed.success) throw malformed(request);
  const missing: string[] = [];
  for (const [path, words] of Object.entries(needed)) {
    const held = capabilities.safeParse(parsed.data.data[path]);
    if (!held.success) throw malformed(request);
    const absent = held.data.includes('root') ? [] : words.filter((word) => !held.data.includes(word));
    if (absent.length > 0) missing.push(`${absent.join(', ')} on ${path} is not allowed by any policy`);
  }
  return missing;
}

function neededIn({ mount, version, path }: KvFolder): Readonly<Record<string, readonly string[]>> {
  const folder = decodeURIComponent(path === '' ? '' : `${path}/`);
  const root = decodeURIComponent(mount);
  if (version === 1) {
    return {
      [`${root}${folder}`]: ['list'],
      [`${root}${folder}${anyKey}`]: ['create', 'update', 'read', 'delete'],
    };
  }
  return {
    [`${root}metadata/${folder}`]: ['list'],
    [`${root}data/${folder}${anyKey}`]: ['create', 'update', 'read'],
    [`${root}metadata/${folder}${anyKey}`]: ['delete'],
  };
}
