import type { FindOwner } from '../check/subject.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import type { WatchState } from '../kubernetes/object-watch.ts';
import { createServiceAccountStore } from '../kubernetes/service-account-store.ts';
import { tierNamespace } from '../policy/create-policy.ts';
import type { Policy } from '../policy/policy.ts';
import type { Metrics } from '../process/metrics.ts';
import { type AuthorizerHealth, wordsOf } from './authorizer-health.ts';
import type { ServerContext } from './run-server.ts';

export interface AccountsParts {
  readonly context: ServerContext;
  readonly client: KubernetesClient;
  readonly metrics: Metrics;
  readonly health: AuthorizerHealth;
}

export interface Accounts {
  readonly findOwner: FindOwner;
  /** Resolves when every tier namespace was listed once, or it is known that it may not be. */
  readonly settled: () => Promise<void>;
}

/**
 * Follows the ServiceAccounts of the tier namespaces. One that may not be listed, because installation has not made
 * it yet, is told of and does not keep the others from being served: its tokens are looked up one by one.
 */
export async function startAccounts(policy: Policy, parts: AccountsParts): Promise<Accounts> {
  const { context, client, metrics, health } = parts;
  const { config, events, lifecycle } = context;
  const observer = metrics.watchObserver('serviceaccounts');
  const stateByNamespace = new Map<string, WatchState>();
  const namespaces = policy.tiers.map(({ name }) => tierNamespace(config.instance, name));
  let isSettled = false;

  function tellHealth(): void {
    const lost = [...stateByNamespace].filter(([, { phase }]) => phase !== 'up');
    if (lost.length === 0) {
      if (isSettled) health.ready('serviceAccounts');
      return;
    }
    const words = lost.map(([namespace, { phase, fault }]) => `${namespace} ${phase} (${wordsOf(fault)})`);
    health.degraded('serviceAccounts', `not followed: ${words.join(', ')}`);
  }

  const store = await lifecycle.start({
    name: 'serviceAccounts',
    start: () =>
      createServiceAccountStore({
        client,
        namespaces,
        onPhase(namespace, state) {
          const resource = `serviceaccounts in ${namespace}`;
          stateByNamespace.set(namespace, state);
          if (state.phase === 'up') events.watchUp({ resource });
          else if (state.phase !== 'starting') events.watchDown({ resource, error: state.fault });
          if ([...stateByNamespace.values()].every(({ phase }) => phase === 'up')) observer.up();
          else observer.down();
          tellHealth();
        },
      }),
    stop: (started) => started.stop(),
  });
  return {
    findOwner: store.findOwner,
    async settled() {
      await store.synced();
      isSettled = true;
      // Waited for once; what is refused is told of and served without.
      health.ready('serviceAccounts');
      tellHealth();
    },
  };
}
