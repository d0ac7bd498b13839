import type { Collection } from './collection.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';
import { metadataAccept } from './kept-metadata.ts';
import type { Kept, ObjectChange } from './object-store.ts';
import { createObjectWatch, type WatchState, type WatchTimings } from './object-watch.ts';

/** Plurals of `rbac.authorization.k8s.io/v1`. */
export const rbacResources = ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'] as const;
export type RbacResource = (typeof rbacResources)[number];

export interface RbacWatchOptions {
  readonly client: Pick<KubernetesClient, 'request' | 'stream'>;
  /** A namespace whose access rules may have changed; undefined: those of every namespace. */
  readonly onChange: (namespace: string | undefined) => void;
  readonly onHeard?: (resource: RbacResource) => void;
  readonly onPhase?: (resource: RbacResource, state: WatchState) => void;
  readonly timings?: Partial<WatchTimings>;
  readonly now?: () => number;
}

export interface RbacWatch {
  /** Whether something that was followed is not at the moment: changes then go unheard. */
  readonly isDown: () => boolean;
  /** Resolves when every kind had its first answer, or was refused. */
  readonly synced: () => Promise<void>;
  readonly states: () => ReadonlyMap<RbacResource, WatchState>;
  readonly stop: () => void;
}

interface Rule extends Kept {
  /** Empty for what holds in the whole cluster. */
  readonly namespace: string;
  readonly resourceVersion: string;
}

/**
 * Tells whose access rules change, from metadata alone. Needs `list` and `watch` on the four kinds, in the whole
 * cluster: which namespaces hold models is nothing that we know beforehand. One that is refused is asked for again
 * from time to time.
 */
export function createRbacWatch(options: RbacWatchOptions): RbacWatch {
  const { client, onChange, onHeard, onPhase, timings, now } = options;

  function follow(resource: RbacResource) {
    /** As last told of: a list says what there is, and not what of it is new. */
    let known: Map<string, Rule> | undefined;
    const tell = ({ namespace }: Rule): void => onChange(namespace === '' ? undefined : namespace);

    function relisted(): void {
      const before = known;
      known = new Map([...watch.values()].map((rule) => [rule.uid, rule]));
      // The first list is where it begins: no verdict is older than that.
      if (before === undefined) return;
      for (const rule of known.values()) {
        if (before.get(rule.uid)?.resourceVersion !== rule.resourceVersion) tell(rule);
      }
    }

    function changed(change: ObjectChange<Rule>): void {
      if (change.type === 'relisted') {
        relisted();
        return;
      }
      const { object } = change;
      if (change.type === 'set') known?.set(object.uid, object);
      tell(object);
    }

    const watch = createObjectWatch({
      client,
      collection: collectionOf(resource),
      onChange: changed,
      onHeard: () => onHeard?.(resource),
      onPhase: (state) => onPhase?.(resource, state),
      ...(timings !== undefined && { timings }),
      ...(now !== undefined && { now }),
    });
    return watch;
  }

  const watchByResource = new Map(rbacResources.map((resource) => [resource, follow(resource)]));
  const watches = [...watchByResource.values()];
  return {
    // On every request's way.
    isDown: () => watches.some((watch) => watch.isDown()),
    synced: async () => {
      await Promise.all([...watchByResource.values()].map((watch) => watch.settled()));
    },
    states: () => new Map([...watchByResource].map(([resource, watch]) => [resource, watch.state()])),
    stop: () => {
      for (const watch of watchByResource.values()) watch.stop();
    },
  };
}

function collectionOf(resource: RbacResource): Collection<Rule> {
  return {
    path: `/apis/rbac.authorization.k8s.io/v1/${resource}`,
    accept: metadataAccept,
    read: (object) => {
      const metadata = isRecord(object) ? object['metadata'] : undefined;
      if (!isRecord(metadata)) return undefined;
      const { uid, namespace = '', resourceVersion } = metadata;
      if (typeof uid !== 'string' || typeof namespace !== 'string' || typeof resourceVersion !== 'string') {
        return undefined;
      }
      return { uid, namespace, resourceVersion };
    },
  };
}
