import { createHash } from 'node:crypto';
import type { DeniedEntry, DeniedKind } from '../check/denied-list.ts';
import { malformed, statusMessage } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import type { Collection } from './collection.ts';
import { isRecord, isTextMap } from './json-shape.ts';
import type { Kept } from './object-store.ts';
import { createObjectWatch, type WatchState, type WatchTimings } from './object-watch.ts';

/** The ConfigMap that every authorizer of an instance follows. One key an entry, so that two writers do not collide. */
export const deniedConfigMapName = 'tiergate-denied';

/** An entry under its key. */
export interface StoredDenial {
  readonly key: string;
  /** Undefined: nobody can read it. */
  readonly entry: DeniedEntry | undefined;
}

const kinds = ['user', 'serviceAccount', 'jti'] as const satisfies readonly DeniedKind[];

/** The same key for the same name, whatever characters it has: denying twice changes the entry. */
export function deniedKey({ kind, value }: Pick<DeniedEntry, 'kind' | 'value'>): string {
  return `${kind}-${createHash('sha256').update(value).digest('hex').slice(0, 32)}`;
}

function writeEntry({ kind, value, reason, endsAtMs }: DeniedEntry): string {
  return JSON.stringify({ kind, value, reason, until: new Date(endsAtMs).toISOString() });
}

function readEntry(text: string): DeniedEntry | undefined {
  let entry: unknown;
  try {
    entry = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(entry)) return undefined;
  const { value, reason = '', until } = entry;
  const kind = kinds.find((known) => known === entry['kind']);
  const endsAtMs = typeof until === 'string' ? Date.parse(until) : Number.NaN;
  if (kind === undefined || typeof value !== 'string' || value === '' || typeof reason !== 'string') {
    return undefined;
  }
  return Number.isNaN(endsAtMs) ? undefined : { kind, value, reason, endsAtMs };
}

interface DeniedObject extends Kept {
  readonly denials: readonly StoredDenial[];
}

function readObject(object: unknown): DeniedObject | undefined {
  const metadata = isRecord(object) ? object['metadata'] : undefined;
  if (!isRecord(object) || !isRecord(metadata) || typeof metadata['uid'] !== 'string') return undefined;
  const texts = object['data'] ?? {};
  if (!isTextMap(texts)) return undefined;
  return {
    uid: metadata['uid'],
    denials: Object.entries(texts).map(([key, text]) => ({ key, entry: readEntry(text) })),
  };
}

export interface DeniedWatchOptions {
  readonly client: Pick<KubernetesClient, 'request' | 'stream'>;
  readonly namespace: string;
  /** All that the ConfigMap holds now; nothing if there is none. */
  readonly onList: (denials: readonly StoredDenial[]) => void;
  readonly onHeard?: () => void;
  readonly onPhase?: (state: WatchState) => void;
  readonly timings?: Partial<WatchTimings>;
}

export interface DeniedWatch {
  readonly synced: () => Promise<void>;
  readonly state: () => WatchState;
  readonly stop: () => void;
}

/** Follows the one ConfigMap. Needs `list` and `watch` on it by its name. */
export function createDeniedWatch(options: DeniedWatchOptions): DeniedWatch {
  const { client, namespace, onList, onHeard, onPhase, timings } = options;
  const collection: Collection<DeniedObject> = {
    path: pathOf(namespace),
    // By its name, so that RBAC can grant this one alone.
    fieldSelector: `metadata.name=${deniedConfigMapName}`,
    accept: { list: 'application/json', watch: 'application/json' },
    read: readObject,
  };
  const watch = createObjectWatch({
    client,
    collection,
    onChange: () => onList([...watch.values()].flatMap(({ denials }) => denials)),
    ...(onHeard !== undefined && { onHeard }),
    ...(onPhase !== undefined && { onPhase }),
    ...(timings !== undefined && { timings }),
  });
  return { synced: watch.settled, state: watch.state, stop: watch.stop };
}

export interface DeniedStore {
  readonly read: () => Promise<readonly StoredDenial[]>;
  /** Sets one entry and removes keys, in one step that touches nothing else. */
  readonly change: (set: DeniedEntry | undefined, removedKeys: readonly string[]) => Promise<void>;
}

/**
 * For whoever writes the list. Needs `get`, `patch` and, for the first entry, `create` on ConfigMaps there. Throws
 * DependencyError.
 */
export function createDeniedStore(client: Pick<KubernetesClient, 'request'>, namespace: string): DeniedStore {
  const path = `${pathOf(namespace)}/${deniedConfigMapName}`;

  async function change(set: DeniedEntry | undefined, removedKeys: readonly string[]): Promise<void> {
    const data = {
      ...Object.fromEntries(removedKeys.map((key) => [key, null])),
      ...(set !== undefined && { [deniedKey(set)]: writeEntry(set) }),
    };
    const patched = await client.request({
      method: 'PATCH',
      path,
      contentType: 'application/merge-patch+json',
      body: { data },
    });
    if (patched.status === 200) return;
    if (patched.status !== 404)
      throw malformed(`ConfigMap ${deniedConfigMapName}: ${statusMessage(patched)}`);
    if (set === undefined) return;
    const created = await client.request({
      method: 'POST',
      path: pathOf(namespace),
      body: {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: deniedConfigMapName, labels: { 'app.kubernetes.io/name': 'tiergate' } },
        data: { [deniedKey(set)]: writeEntry(set) },
      },
    });
    if (created.status === 201) return;
    if (created.status !== 409)
      throw malformed(`ConfigMap ${deniedConfigMapName}: ${statusMessage(created)}`);
    // Somebody was faster.
    await change(set, removedKeys);
  }

  return {
    async read() {
      const answer = await client.request({ method: 'GET', path });
      if (answer.status === 404) return [];
      const object = answer.status === 200 ? readObject(answer.body) : undefined;
      if (object === undefined) throw malformed(`ConfigMap ${deniedConfigMapName}: ${statusMessage(answer)}`);
      return object.denials;
    },
    change,
  };
}

function pathOf(namespace: string): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`;
}
