import { z } from 'zod';
import { malformed, type VaultClient, type VaultRequest } from './vault-client.ts';

const listAnswer = z.object({ data: z.object({ keys: z.array(z.string()) }) });

/** Keys of documents; folders (which end in a slash) are none. A folder that is empty or absent is answered with 404. */
export async function listKeys(
  client: VaultClient,
  path: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const request: VaultRequest = {
    name: 'list_documents',
    method: 'GET',
    path: `${path}?list=true`,
    expected: [404],
  };
  const { status, body } = await client(request, signal);
  if (status === 404) return [];
  const parsed = listAnswer.safeParse(body);
  if (!parsed.success) throw malformed(request);
  return parsed.data.data.keys.filter((key) => !key.endsWith('/'));
}
