import type { KubernetesClient } from '../kubernetes/client.ts';
import { createTokenObjects, type TokenObjectsStore } from '../kubernetes/token-objects.ts';
import { tierNamespace } from '../policy/create-policy.ts';
import type { Policy } from '../policy/policy.ts';
import type { Metrics } from '../process/metrics.ts';
import type { AuthorizerHealth } from './authorizer-health.ts';
import type { PolicySource } from './policy-in-force.ts';
import type { ServerContext } from './run-server.ts';
import { createWatchReport } from './watch-report.ts';

export interface WatchParts {
  readonly context: ServerContext;
  readonly client: KubernetesClient;
  readonly metrics: Metrics;
  readonly health: AuthorizerHealth;
}

export interface Accounts extends Omit<TokenObjectsStore, 'setNamespaces' | 'synced' | 'states' | 'stop'> {
  /** Resolves when every tier namespace was listed once, or it is known that it may not be. */
  readonly settled: () => Promise<void>;
}

/**
 * Follows what issued tokens stand on: the ServiceAccounts and token Secrets of the tier namespaces. One that may not
 * be listed, because installation has not made it yet, is told of and does not keep the others from being served:
 * its tokens are looked up one by one.
 */
export async function startAccounts(policy: PolicySource, parts: WatchParts): Promise<Accounts> {
  const { context, client } = parts;
  const { config, lifecycle } = context;
  const reporting = { events: context.events, metrics: parts.metrics, health: parts.health };
  const reports = {
    serviceaccounts: createWatchReport({
      resource: 'serviceaccounts',
      part: 'serviceAccounts',
      ...reporting,
    }),
    secrets: createWatchReport({ resource: 'secrets', part: 'tokenSecrets', ...reporting }),
  };
  const namespacesOf = ({ tiers }: Policy) => tiers.map(({ name }) => tierNamespace(config.instance, name));

  const store = await lifecycle.start({
    name: 'tokenObjects',
    start: () =>
      createTokenObjects({
        client,
        namespaces: namespacesOf(policy.current()),
        rememberMs: config.identity.watchDownTtlMs,
        onHeard: (resource) => reports[resource].onHeard(),
        onPhase: (resource, namespace, state) => reports[resource].onPhase(namespace, state),
      }),
    stop: (started) => started.stop(),
  });
  policy.onChange((next) => {
    const namespaces = namespacesOf(next);
    store.setNamespaces(namespaces);
    reports.serviceaccounts.keepOnly(namespaces);
    reports.secrets.keepOnly(namespaces);
  });
  return {
    ...store,
    async settled() {
      await store.synced();
      reports.serviceaccounts.settled();
      reports.secrets.settled();
    },
  };
}
