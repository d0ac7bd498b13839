import { isDependencyError } from '../dependency-error.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { type ConfigMap, readConfigMap, watchConfigMap } from '../kubernetes/config-map.ts';
import { createReportEvent } from '../kubernetes/event.ts';
import { parsePolicyConfigMap, parsePolicyFile } from '../policy/parse-policy.ts';
import { followFile } from '../process/followed-file.ts';
import type { Metrics } from '../process/metrics.ts';
import { wordsOf } from './authorizer-health.ts';
import { type LoadedPolicy, loadPolicy, policyOptions } from './load-policy.ts';
import {
  createPolicyInForce,
  type PolicyHealth,
  type PolicyInForce,
  type PolicySource,
} from './policy-in-force.ts';
import type { ServerContext } from './run-server.ts';

export interface FollowPolicyParts {
  readonly client: KubernetesClient;
  readonly metrics: Metrics;
  readonly health: PolicyHealth;
  /** Whether a refused document is told of by an Event on its ConfigMap; one program is enough. */
  readonly writesEvents: boolean;
}

/** How often a ConfigMap is read that we may not watch. */
const pollMs = 5_000;

/** The policy document, from the start to the end: read, then followed wherever the process file says it is. */
export async function startPolicy(context: ServerContext, parts: FollowPolicyParts): Promise<PolicySource> {
  const { config, lifecycle, events } = context;
  const loaded = await loadPolicy({ config, ...parts, signal: lifecycle.signal });
  const inForce = createPolicyInForce(loaded.policy, { events, ...parts });
  await lifecycle.start({
    name: 'policy',
    start: () =>
      loaded.kind === 'file'
        ? followPolicyFile(loaded, inForce, context)
        : followPolicyConfigMap(loaded.configMap, inForce, { ...context, ...parts }),
    stop: (followed) => followed.stop(),
  });
  return inForce;
}

interface Followed {
  readonly stop: () => void;
}

type LoadedFile = Extract<LoadedPolicy, { readonly kind: 'file' }>;

function followPolicyFile(
  { path, text }: LoadedFile,
  inForce: PolicyInForce,
  { config }: ServerContext,
): Followed {
  return followFile({
    path,
    text,
    onText: (newText) => void inForce.offer(parsePolicyFile(newText, policyOptions(config))),
    onUnreadable: (code) => inForce.keep(`can not be read any more (${code})`),
  });
}

function followPolicyConfigMap(
  first: ConfigMap,
  inForce: PolicyInForce,
  context: ServerContext & FollowPolicyParts,
): Followed {
  const { client, config, events, metrics } = context;
  const { namespace, name } = first;
  const reportEvent = createReportEvent(client);
  const observer = metrics.watchObserver('configmaps');
  const resource = `configmap ${namespace}/${name}`;
  let last: string | undefined = textOf(first);
  let mayReport = context.writesEvents;
  let poll: NodeJS.Timeout | undefined;

  function changed(configMap: ConfigMap | undefined): void {
    observer.heard();
    const text = configMap === undefined ? undefined : textOf(configMap);
    if (text === last) return;
    last = text;
    if (configMap === undefined) {
      inForce.keep('does not exist any more');
      return;
    }
    const refused = inForce.offer(parsePolicyConfigMap(configMap.data, policyOptions(config)));
    if (refused !== undefined) void report(configMap, refused);
  }

  /** For whoever looks at the ConfigMap. Where we may not, once in the log: nothing depends on it. */
  async function report({ uid, resourceVersion }: ConfigMap, message: string): Promise<void> {
    if (!mayReport) return;
    try {
      await reportEvent({ namespace, name, uid, resourceVersion, reason: 'PolicyRefused', message });
    } catch (error) {
      if (!isDependencyError(error)) throw error;
      if (error.code === 'misconfigured') mayReport = false;
      events.advice({ words: `no Event could be written about ${resource}: ${wordsOf(error)}` });
    }
  }

  /** With rights to read it but not to watch it, a change is seen within some seconds. */
  async function look(): Promise<void> {
    try {
      changed(await readConfigMap(client, { namespace, name }));
    } catch (error) {
      if (!isDependencyError(error)) throw error;
    }
  }

  const watch = watchConfigMap({
    client,
    namespace,
    name,
    onChange: changed,
    onPhase({ phase, fault }) {
      clearInterval(poll);
      if (phase === 'up') {
        observer.up();
        events.watchUp({ resource });
      } else if (phase !== 'starting') {
        observer.down();
        events.watchDown({ resource, error: fault });
        if (phase === 'refused') poll = setInterval(() => void look(), pollMs).unref();
      }
    },
  });
  return {
    stop() {
      clearInterval(poll);
      watch.stop();
    },
  };
}

/** All that the document is: a ConfigMap of which only labels were changed is the same document. */
function textOf({ data }: ConfigMap): string {
  return JSON.stringify(Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1)));
}
