import { DependencyError } from '../dependency-error.ts';
import { type KubernetesAnswer, malformed, statusMessage } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';
import type { Kept } from './object-store.ts';

/** All objects of a kind in a place, or those that selectors pick. */
export interface Collection<Thing extends Kept> {
  /** `/api/v1/namespaces/x/serviceaccounts` */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Media types by which list and watch send no more than `read` needs. */
  readonly accept: { readonly list: string; readonly watch: string };
  /** What is kept of an object; undefined if it is not one. */
  readonly read: (object: unknown) => Thing | undefined;
}

/** We may not list or watch it (403), or the cluster has no such kind (404). */
export interface Refusal {
  readonly refused: DependencyError;
}

export interface Listed<Thing extends Kept> {
  readonly objectByUid: ReadonlyMap<string, Thing>;
  /** From here on a watch tells what changes. */
  readonly resourceVersion: string;
}

export type WatchEvent<Thing extends Kept> =
  | { readonly type: 'set' | 'removed'; readonly object: Thing; readonly resourceVersion: string }
  | { readonly type: 'bookmark'; readonly resourceVersion: string }
  /** The server has forgotten what the watch should go on from: list again. */
  | { readonly type: 'expired' };

/** Objects carry up to 256 KiB of annotations, and a page of them must fit. */
const pageSize = 250;
const maxPageBytes = 96 * 1024 * 1024;

/** In pages, and as new as the question: no resourceVersion is asked for. Throws DependencyError. */
export async function listCollection<Thing extends Kept>(
  client: Pick<KubernetesClient, 'request'>,
  collection: Collection<Thing>,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<Listed<Thing> | Refusal> {
  const objectByUid = new Map<string, Thing>();
  let next = '';
  for (;;) {
    const answer = await client.request({
      method: 'GET',
      path: pathOf(collection, { limit: String(pageSize), ...(next !== '' && { continue: next }) }),
      accept: collection.accept.list,
      maxAnswerBytes: maxPageBytes,
      expected: [403],
      ...options,
    });
    if (answer.status !== 200) return refusal(collection.path, answer);
    const body = isRecord(answer.body) ? answer.body : {};
    const metadata = isRecord(body['metadata']) ? body['metadata'] : {};
    // An empty list is `null` in Go.
    const items = body['items'] ?? [];
    const resourceVersion = metadata['resourceVersion'];
    if (!Array.isArray(items) || typeof resourceVersion !== 'string') {
      throw malformed(`${collection.path}: not a list`);
    }
    for (const item of items) {
      const object = readObject(collection, item);
      objectByUid.set(object.uid, object);
    }
    next = typeof metadata['continue'] === 'string' ? metadata['continue'] : '';
    if (next === '') return { objectByUid, resourceVersion };
  }
}

export interface WatchOptions {
  readonly resourceVersion: string;
  /** How long the server is asked to keep it open. */
  readonly lifetimeMs: number;
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** What changes from a resourceVersion on, until the server ends it. Throws DependencyError, and so does what it returns. */
export async function watchCollection<Thing extends Kept>(
  client: Pick<KubernetesClient, 'stream'>,
  collection: Collection<Thing>,
  options: WatchOptions,
): Promise<AsyncIterable<WatchEvent<Thing>> | Refusal | 'expired'> {
  const { resourceVersion, lifetimeMs, idleTimeoutMs, signal } = options;
  const stream = await client.stream({
    path: pathOf(collection, {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion,
      timeoutSeconds: String(Math.ceil(lifetimeMs / 1000)),
    }),
    accept: collection.accept.watch,
    idleTimeoutMs,
    expected: [403],
    signal,
  });
  if ('values' in stream) return readEvents(collection, stream.values);
  return stream.status === 410 ? 'expired' : refusal(collection.path, stream);
}

async function* readEvents<Thing extends Kept>(
  collection: Collection<Thing>,
  values: AsyncIterable<unknown>,
): AsyncGenerator<WatchEvent<Thing>, void, undefined> {
  for await (const value of values) yield readEvent(collection, value);
}

/** `meta/v1` WatchEvent. */
function readEvent<Thing extends Kept>(collection: Collection<Thing>, value: unknown): WatchEvent<Thing> {
  const { type, object } = isRecord(value) ? value : {};
  if (!isRecord(object)) throw malformed(`${collection.path}: not a watch event`);
  if (type === 'ERROR') {
    if (object['code'] === 410) return { type: 'expired' };
    throw new DependencyError('kubernetes', 'failed', {
      detail: `${collection.path}: ${statusMessage({ status: 500, body: object })}`,
    });
  }
  const metadata = isRecord(object['metadata']) ? object['metadata'] : {};
  const resourceVersion = metadata['resourceVersion'];
  if (typeof resourceVersion !== 'string') {
    throw malformed(`${collection.path}: an event without a resourceVersion`);
  }
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
      return { type: 'set', object: readObject(collection, object), resourceVersion };
    case 'DELETED':
      return { type: 'removed', object: readObject(collection, object), resourceVersion };
    case 'BOOKMARK':
      return { type: 'bookmark', resourceVersion };
    default:
      throw malformed(`${collection.path}: an event of an unknown type`);
  }
}

function readObject<Thing extends Kept>(collection: Collection<Thing>, object: unknown): Thing {
  const thing = collection.read(object);
  if (thing === undefined) throw malformed(`${collection.path}: an object of another shape`);
  return thing;
}

/** What else than 200 means. An expired page (410) is a failure like any other: everything is listed again. */
function refusal(path: string, answer: KubernetesAnswer): Refusal {
  const detail = `${path}: ${statusMessage(answer)}`;
  if (answer.status !== 403 && answer.status !== 404) throw malformed(`${detail} (HTTP ${answer.status})`);
  return { refused: new DependencyError('kubernetes', 'misconfigured', { detail }) };
}

function pathOf<Thing extends Kept>(
  collection: Collection<Thing>,
  parameters: Readonly<Record<string, string>>,
): string {
  const { path, labelSelector, fieldSelector } = collection;
  const query = new URLSearchParams({
    ...parameters,
    ...(labelSelector !== undefined && { labelSelector }),
    ...(fieldSelector !== undefined && { fieldSelector }),
  });
  return `${path}?${query.toString()}`;
}
