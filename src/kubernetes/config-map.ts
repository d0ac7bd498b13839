import { malformed, statusMessage } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord, isTextMap } from './json-shape.ts';
import { createObjectWatch, type ObjectWatch, type WatchState, type WatchTimings } from './object-watch.ts';

export interface ConfigMapName {
  readonly namespace: string;
  readonly name: string;
}

/** A ConfigMap as it was at one moment. */
export interface ConfigMap extends ConfigMapName {
  readonly data: Readonly<Record<string, string>>;
  /** Another one by the same name has another. */
  readonly uid: string;
  /** Opaque; a watch begins from here. */
  readonly resourceVersion: string;
}

/**
 * One GET. Undefined: there is no such ConfigMap. Throws DependencyError: nobody could tell, or we may not read it
 * (`misconfigured`, in the API server's words). Needs `get` on that ConfigMap.
 */
export async function readConfigMap(
  client: Pick<KubernetesClient, 'request'>,
  { namespace, name }: ConfigMapName,
  signal?: AbortSignal,
): Promise<ConfigMap | undefined> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps/${encodeURIComponent(name)}`;
  const answer = await client.request({ method: 'GET', path, ...(signal !== undefined && { signal }) });
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw malformed(`ConfigMap ${namespace}/${name}: ${statusMessage(answer)}`);
  const configMap = configMapFrom(answer.body);
  if (configMap === undefined) throw malformed(`ConfigMap ${namespace}/${name} is of another shape`);
  return configMap;
}

/** A ConfigMap as the API server sends it, alone or in a list or watch; undefined if it is anything else. */
function configMapFrom(body: unknown): ConfigMap | undefined {
  const metadata = isRecord(body) ? body['metadata'] : undefined;
  if (!isRecord(body) || !isRecord(metadata)) return undefined;
  const { namespace, name, uid, resourceVersion } = metadata;
  const data = body['data'] ?? {};
  if (typeof namespace !== 'string' || typeof name !== 'string' || typeof resourceVersion !== 'string') {
    return undefined;
  }
  return isTextMap(data) && typeof uid === 'string'
    ? { namespace, name, uid, data, resourceVersion }
    : undefined;
}

export interface WatchConfigMapOptions extends ConfigMapName {
  readonly client: Pick<KubernetesClient, 'request' | 'stream'>;
  /** As it is now; undefined: there is none. Told at the first list, and at each change since. */
  readonly onChange: (configMap: ConfigMap | undefined) => void;
  readonly onPhase?: (state: WatchState) => void;
  readonly timings?: Partial<WatchTimings>;
}

const wholeObjects = 'application/json';

/**
 * Follows one ConfigMap, within milliseconds of the API server's answer to whoever changes it. Needs `list` and
 * `watch` on that ConfigMap; rights that name it are enough, since the field selector names it too.
 */
export function watchConfigMap(options: WatchConfigMapOptions): ObjectWatch<ConfigMap> {
  const { client, namespace, name, onChange, onPhase, timings } = options;
  const watch: ObjectWatch<ConfigMap> = createObjectWatch<ConfigMap>({
    client,
    collection: {
      path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`,
      fieldSelector: `metadata.name=${name}`,
      accept: { list: wholeObjects, watch: wholeObjects },
      read: configMapFrom,
    },
    // A list that finds it changed tells no more than that: what is kept now is looked at either way.
    onChange: () => onChange([...watch.values()].find((configMap) => configMap.name === name)),
    ...(onPhase !== undefined && { onPhase }),
    ...(timings !== undefined && { timings }),
  });
  return watch;
}

/** The text under a key. Throws an Error in words for the operator when it is not there. */
export function configMapText(configMap: ConfigMap, key: string): string {
  const text = configMap.data[key];
  if (text !== undefined) return text;
  const keys = Object.keys(configMap.data);
  throw new Error(
    `ConfigMap ${configMap.namespace}/${configMap.name} has no key ${JSON.stringify(key)}; ` +
      (keys.length === 0 ? 'it has no keys at all' : `it has ${keys.join(', ')}`),
  );
}
