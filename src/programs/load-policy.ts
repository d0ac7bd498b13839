import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDependencyError } from '../dependency-error.ts';
import type { ConnectionOptions } from '../kubernetes/connection.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { readConfigMap } from '../kubernetes/config-map.ts';
import { type ParsedPolicy, parsePolicyConfigMap, parsePolicyFile } from '../policy/parse-policy.ts';
import type { Policy } from '../policy/policy.ts';
import type { Config } from '../process/config.ts';
import { ConfigMistakes } from '../process/config-mistakes.ts';
import type { Events } from '../process/events.ts';
import type { Metrics } from '../process/metrics.ts';
import { type AuthorizerHealth, wordsOf } from './authorizer-health.ts';

export interface LoadPolicyOptions {
  readonly config: Config;
  readonly client: KubernetesClient;
  readonly health: AuthorizerHealth;
  readonly signal: AbortSignal;
}

const retryMs = 1000;

/** The policy document → Policy. Throws ConfigMistakes; waits for an API server that is away. */
export async function loadPolicy({ config, client, health, signal }: LoadPolicyOptions): Promise<Policy> {
  const { source } = config.policy;
  if (source.kind === 'file') return readPolicyFile(source.path, config);
  const namespace = source.namespace ?? client.namespace;
  if (namespace === undefined) {
    const message = 'must be set: this process does not run in a namespace';
    throw new ConfigMistakes('process file', [{ path: 'policy.configMap.namespace', message }]);
  }
  const name = `ConfigMap ${namespace}/${source.name}`;
  for (;;) {
    try {
      const configMap = await readConfigMap(client, { namespace, name: source.name }, signal);
      if (configMap === undefined) throw new ConfigMistakes(name, [{ path: '', message: 'does not exist' }]);
      return validPolicy(name, parsePolicyConfigMap(configMap.data, policyOptions(config)));
    } catch (error) {
      if (!isDependencyError(error) || signal.aborted) throw error;
      health.degraded('policy', wordsOf(error));
    }
    await sleep(retryMs, undefined, { signal });
  }
}

export function readPolicyFile(path: string, config: Config): Policy {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown fault';
    throw new ConfigMistakes(path, [{ path: '', message: `the policy document can not be read (${code})` }]);
  }
  return parsePolicyText(path, text, config);
}

/** Text of a policy file → Policy. Throws ConfigMistakes, which call the text by the name. */
export function parsePolicyText(name: string, text: string, config: Config): Policy {
  return validPolicy(name, parsePolicyFile(text, policyOptions(config)));
}

function policyOptions({ instance, policy }: Config) {
  return { instance, defaultLimits: policy.defaultLimits, defaultTier: policy.defaultTier };
}

function validPolicy(name: string, parsed: ParsedPolicy): Policy {
  if (!parsed.valid) throw new ConfigMistakes(name, parsed.mistakes);
  return parsed.policy;
}

interface PolicyObservers {
  readonly events: Events;
  readonly metrics: Metrics;
  readonly health: AuthorizerHealth;
}

/** Tells of a policy that is now in force. */
export function takePolicy({ tiers, warnings }: Policy, { events, metrics, health }: PolicyObservers): void {
  metrics.policyLoaded({ generation: 1, tiers: tiers.length, warnings: warnings.length });
  events.policyLoaded({ generation: 1, tiers: tiers.length, warnings });
  health.ready('policy');
}

export function kubeconfigOf({ kubernetes }: Config): ConnectionOptions {
  const { kubeconfig, context } = kubernetes;
  return { ...(kubeconfig !== undefined && { kubeconfig }), ...(context !== undefined && { context }) };
}
