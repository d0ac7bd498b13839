import { z } from 'zod';
import { DependencyError } from '../dependency-error.ts';
import {
  encodePath,
  malformed,
  type VaultClient,
  vaultDependency,
  type VaultRequest,
} from './vault-client.ts';

/** A folder in a KV secrets engine: which engine, of which version, and where in it. */
export interface KvFolder {
  /** Path of the mount, ending in a slash, encoded. */
  readonly mount: string;
  readonly version: 1 | 2;
  /** Below the mount, without slashes at its ends, encoded; may be empty. */
  readonly path: string;
}

const mountAnswer = z.object({
  data: z.object({
    path: z.string(),
    type: z.string(),
    options: z.object({ version: z.string().optional() }).nullish(),
  }),
});

/** Asks what is mounted where the path points to; every policy that can read there may ask. */
export async function findFolder(client: VaultClient, path: string, signal: AbortSignal): Promise<KvFolder> {
  const trimmed = path.replaceAll(/^\/+|\/+$/g, '');
  const request: VaultRequest = {
    name: 'find_mount',
    method: 'GET',
    path: `sys/internal/ui/mounts/${encodePath(trimmed)}`,
  };
  const parsed = mountAnswer.safeParse((await client(request, signal)).body);
  if (!parsed.success) throw malformed(request);
  const { path: mount, type, options } = parsed.data.data;
  if (type !== 'kv' && type !== 'generic')
    throw new DependencyError(vaultDependency, 'misconfigured', {
      detail: `${mount} is no KV secrets engine`,
    });
  return {
    mount: encodePath(mount),
    version: options?.version === '2' ? 2 : 1,
    path: encodePath(trimmed.slice(mount.length)),
  };
}
