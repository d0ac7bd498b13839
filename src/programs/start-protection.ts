import { createDeniedList, type CheckDenied } from '../check/denied-list.ts';
import {
  createDeniedWatch,
  deniedConfigMapName,
  type StoredDenial,
} from '../kubernetes/denied-config-map.ts';
import { createRbacWatch } from '../kubernetes/rbac-watch.ts';
import type { WatchParts } from './start-accounts.ts';
import { createWatchReport } from './watch-report.ts';

export interface DeniedListPart {
  readonly checkDenied: CheckDenied;
  readonly settled: () => Promise<void>;
}

/** Follows the list of `tiergate deny`, in the namespace of the policy's ConfigMap, else in our own. */
export async function startDeniedList({
  context,
  client,
  metrics,
  health,
}: WatchParts): Promise<DeniedListPart> {
  const { config, lifecycle, events } = context;
  const list = createDeniedList({ now: Date.now });
  metrics.trackDenied(list.size);
  health.show('deniedList', () => ({ entries: list.size() }));
  const { source } = config.policy;
  const namespace = (source.kind === 'configMap' ? source.namespace : undefined) ?? client.namespace;
  if (namespace === undefined) {
    list.doWithout();
    health.ready('deniedList', 'there is none: this process has no namespace');
    return { checkDenied: list.check, settled: () => Promise.resolve() };
  }

  function take(denials: readonly StoredDenial[]): void {
    list.replace(denials.flatMap(({ entry }) => (entry === undefined ? [] : [entry])));
    events.deniedList({ entries: list.size() });
    const unread = denials.filter(({ entry }) => entry === undefined).map(({ key }) => key);
    if (unread.length === 0) return;
    events.advice({ words: `${deniedConfigMapName}: nobody can read ${unread.join(', ')}: not denied` });
  }

  const report = createWatchReport({
    resource: deniedConfigMapName,
    part: 'deniedList',
    metrics,
    events,
    health,
  });
  const watch = await lifecycle.start({
    name: 'deniedList',
    start: () =>
      createDeniedWatch({
        client,
        namespace,
        onList: take,
        onHeard: report.onHeard,
        onPhase(state) {
          // Not granted: there is no list, as /readyz says.
          if (state.phase === 'refused') list.doWithout();
          report.onPhase(namespace, state);
        },
      }),
    stop: (started) => started.stop(),
  });
  return {
    checkDenied: list.check,
    async settled() {
      await watch.synced();
      report.settled();
    },
  };
}

export interface RbacPart {
  /** Whether changes of access rules go unheard that were heard before. */
  readonly isDown: () => boolean;
  readonly settled: () => Promise<void>;
}

/** Follows RBAC objects where that is granted; where it is not, verdicts live as long as their TTL says. */
export async function startRbac(
  { context, client, metrics, health }: WatchParts,
  onChange: (namespace: string | undefined) => void,
): Promise<RbacPart> {
  const { lifecycle, events } = context;
  const report = createWatchReport({
    resource: 'rbac',
    part: 'rbac',
    metrics,
    events,
    health,
    refusedMeans: 'not granted, so that a change is felt when access.allowTtl ends',
  });
  const watch = await lifecycle.start({
    name: 'rbac',
    start: () =>
      createRbacWatch({
        client,
        onHeard: report.onHeard,
        onPhase: report.onPhase,
        onChange(namespace) {
          metrics.accessForgotten();
          onChange(namespace);
        },
      }),
    stop: (started) => started.stop(),
  });
  return {
    isDown: watch.isDown,
    async settled() {
      await watch.synced();
      report.settled();
    },
  };
}
