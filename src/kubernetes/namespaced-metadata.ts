import type { KubernetesClient } from './client.ts';
import { malformed, statusMessage } from './answer.ts';
import {
  createReadKeptMetadata,
  metadataAccept,
  metadataCollection,
  type KeptMetadata,
} from './kept-metadata.ts';
import type { ObjectChange } from './object-store.ts';
import { createObjectWatch, type ObjectWatch, type WatchState, type WatchTimings } from './object-watch.ts';

export interface ObjectIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface NamespacedMetadataOptions {
  readonly client: Pick<KubernetesClient, 'request' | 'stream'>;
  /** `serviceaccounts`, `secrets`: of the core group. */
  readonly resource: string;
  readonly namespaces: readonly string[];
  readonly labelSelector?: string;
  /** Keys of the annotations to keep. */
  readonly annotations: readonly string[];
  readonly onChange?: (namespace: string, change: ObjectChange<KeptMetadata>) => void;
  readonly onHeard?: (namespace: string) => void;
  readonly onPhase?: (namespace: string, state: WatchState) => void;
  readonly timings?: Partial<WatchTimings>;
  readonly now?: () => number;
  readonly random?: () => number;
}

/** The metadata of a resource in some namespaces, each followed by a watch of its own. */
export interface NamespacedMetadata {
  /** From the store: this very object, not another of its name. Absence means what {@link isUp} lets it mean. */
  readonly find: (object: ObjectIdentity) => KeptMetadata | undefined;
  /** By one GET: undefined if this very object is not there. Throws DependencyError: nobody could tell. */
  readonly lookUp: (object: ObjectIdentity, signal?: AbortSignal) => Promise<KeptMetadata | undefined>;
  /** Whether the store follows this namespace at the moment: only then absence is proof. */
  readonly isUp: (namespace: string) => boolean;
  /** Starts and ends watches as needed; those that stay are not disturbed. */
  readonly setNamespaces: (namespaces: readonly string[]) => void;
  /** Resolves when every namespace of now had its first answer: listed (perhaps empty), or refused. */
  readonly synced: () => Promise<void>;
  readonly isSynced: () => boolean;
  /** By namespace, for metrics and `/readyz`. */
  readonly states: () => ReadonlyMap<string, WatchState>;
  readonly stop: () => void;
}

/** Needs `list` and `watch` (and `get` for `lookUp`) on the resource, in each of the namespaces. */
export function createNamespacedMetadata(options: NamespacedMetadataOptions): NamespacedMetadata {
  const { client, resource, labelSelector, annotations, onChange, onHeard, onPhase } = options;
  const watchByNamespace = new Map<string, ObjectWatch<KeptMetadata>>();
  const readMetadata = createReadKeptMetadata(annotations);

  function start(namespace: string): ObjectWatch<KeptMetadata> {
    const { timings, now, random } = options;
    return createObjectWatch({
      client,
      collection: metadataCollection({
        path: pathOf(namespace, resource),
        annotations,
        ...(labelSelector !== undefined && { labelSelector }),
      }),
      onChange: (change) => onChange?.(namespace, change),
      onHeard: () => onHeard?.(namespace),
      onPhase: (state) => onPhase?.(namespace, state),
      ...(timings !== undefined && { timings }),
      ...(now !== undefined && { now }),
      ...(random !== undefined && { random }),
    });
  }

  function setNamespaces(namespaces: readonly string[]): void {
    for (const [namespace, watch] of watchByNamespace) {
      if (namespaces.includes(namespace)) continue;
      watch.stop();
      watchByNamespace.delete(namespace);
    }
    for (const namespace of namespaces) {
      if (!watchByNamespace.has(namespace)) watchByNamespace.set(namespace, start(namespace));
    }
  }

  const states = () => new Map([...watchByNamespace].map(([namespace, watch]) => [namespace, watch.state()]));

  setNamespaces(options.namespaces);
  return {
    find: ({ namespace, name, uid }) => {
      const found = watchByNamespace.get(namespace)?.get(uid);
      return found?.name === name ? found : undefined;
    },
    lookUp: async ({ namespace, name, uid }, signal) => {
      const answer = await client.request({
        method: 'GET',
        path: `${pathOf(namespace, resource)}/${encodeURIComponent(name)}`,
        accept: metadataAccept.object,
        ...(signal !== undefined && { signal }),
      });
      if (answer.status === 404) return undefined;
      const found = answer.status === 200 ? readMetadata(answer.body) : undefined;
      if (found === undefined) throw malformed(`${resource} ${namespace}/${name}: ${statusMessage(answer)}`);
      return found.uid === uid ? found : undefined;
    },
    isUp: (namespace) => watchByNamespace.get(namespace)?.isUp() === true,
    setNamespaces,
    synced: async () => {
      await Promise.all([...watchByNamespace.values()].map((watch) => watch.settled()));
    },
    isSynced: () => [...states().values()].every(({ phase }) => phase !== 'starting'),
    states,
    stop: () => setNamespaces([]),
  };
}

function pathOf(namespace: string, resource: string): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/${resource}`;
}
