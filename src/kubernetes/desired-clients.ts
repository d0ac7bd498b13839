import { DependencyError } from '../dependency-error.ts';
import type { KubernetesClient } from './client.ts';
import { readConfigMap } from './config-map.ts';

export interface InventoryOptions {
  readonly client: Pick<KubernetesClient, 'request'>;
  readonly namespace: string;
  readonly name: string;
  readonly key: string;
}

/**
 * The text of an inventory of clusters that a ConfigMap holds, as it is now. Throws DependencyError
 * (`misconfigured`) if there is no such ConfigMap or key: an absence is no empty inventory. Needs `get` on it.
 */
export function createReadInventory(options: InventoryOptions): (signal: AbortSignal) => Promise<string> {
  const { client, namespace, name, key } = options;
  return async (signal) => {
    const configMap = await readConfigMap(client, { namespace, name }, signal);
    const text = configMap?.data[key];
    if (text !== undefined) return text;
    const detail =
      configMap === undefined
        ? `there is no ConfigMap ${namespace}/${name}`
        : `ConfigMap ${namespace}/${name} has no key ${key}`;
    throw new DependencyError('kubernetes', 'misconfigured', { detail });
  };
}
