import { type KubernetesAnswer, malformed, statusMessage } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';
import { type ObjectMetadata, readMetadata } from './object-metadata.ts';

/** Objects without what they hold: of a Secret nobody here wants more. */
const metadataOnly = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

const pageSize = 500;

/** Pages of one list at most; a server that never ends one is `malformed`. */
const maxPages = 1000;

/**
 * Metadata of every object of a collection, page by page; none where the collection is not there (404). Throws
 * DependencyError.
 */
export async function listMetadata(
  client: Pick<KubernetesClient, 'request'>,
  path: string,
  labelSelector: string,
): Promise<readonly ObjectMetadata[]> {
  const found: ObjectMetadata[] = [];
  let next = '';
  for (let page = 0; page < maxPages; page += 1) {
    const query = new URLSearchParams({ labelSelector, limit: String(pageSize) });
    if (next !== '') query.set('continue', next);
    const answer = await client.request({
      method: 'GET',
      path: `${path}?${query.toString()}`,
      accept: metadataOnly,
      maxAnswerBytes: 32 * 1024 * 1024,
    });
    if (answer.status === 404) return found;
    // The list changed too much between two pages: it begins again.
    if (answer.status === 410 && next !== '') {
      found.length = 0;
      next = '';
      continue;
    }
    const { items, token } = readPage(answer);
    found.push(...items.map(readMetadata));
    if (token === '') return found;
    next = token;
  }
  throw malformed('a list without an end');
}

function readPage(answer: KubernetesAnswer): { readonly items: readonly unknown[]; readonly token: string } {
  if (answer.status !== 200 || !isRecord(answer.body)) throw unexpected(answer);
  const { items, metadata } = answer.body;
  const token = isRecord(metadata) ? metadata['continue'] : undefined;
  return { items: Array.isArray(items) ? items : [], token: typeof token === 'string' ? token : '' };
}

/** An answer that nothing here asked for. */
export function unexpected(answer: KubernetesAnswer): Error {
  return malformed(`unexpected answer, HTTP ${answer.status}: ${statusMessage(answer)}`);
}
