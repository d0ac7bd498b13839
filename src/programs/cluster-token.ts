import { readFileSync } from 'node:fs';
import type { parseArgs } from 'node:util';

import { isDependencyError } from '../dependency-error.ts';
import { createKubernetesClient } from '../kubernetes/client.ts';
import { loadConnection } from '../kubernetes/connection.ts';
import { createSecret, type Secret } from '../secret.ts';
import type { ProgramIo } from './program.ts';

/** Options of every command that speaks to the token API as a user of the cluster. */
export const clusterTokenOptions = {
  'token-file': { type: 'string' },
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
} as const;

export type ClusterTokenValues = ReturnType<
  typeof parseArgs<{ readonly options: typeof clusterTokenOptions }>
>['values'];

/** The cluster's token goes there: never in clear text over a network. */
export function readUrl(text: string | undefined): URL | undefined {
  if (text === undefined || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isLoopback = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback) ? url : undefined;
}

/** The token of the cluster, or why there is none. */
export async function readClusterToken(values: ClusterTokenValues, io: ProgramIo): Promise<Secret | string> {
  const file = values['token-file'];
  try {
    if (file === undefined) return await readKubeconfigToken(values);
    const text = (file === '-' ? await io.readInput() : readFileSync(file, 'utf8')).trim();
    return text === '' ? `${file}: no token` : createSecret(text);
  } catch (error) {
    if (isDependencyError(error)) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (file !== undefined) return `${file} can not be read (${code ?? 'unknown fault'})`;
    return error instanceof Error ? error.message : String(error);
  }
}

async function readKubeconfigToken({ kubeconfig, context }: ClusterTokenValues): Promise<Secret | string> {
  const connection = await loadConnection({
    ...(kubeconfig !== undefined && { kubeconfig }),
    ...(context !== undefined && { context }),
  });
  const client = createKubernetesClient({ connection, timeoutMs: 20_000 });
  try {
    const own = await client.ownToken();
    return own ?? 'your kubeconfig holds no token (a client certificate is none); give one by --token-file';
  } finally {
    client.close();
  }
}
