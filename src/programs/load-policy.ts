import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDependencyError } from '../dependency-error.ts';
import { checkDoorProfiles } from '../http/check-door/profiles.ts';
import type { ConnectionOptions } from '../kubernetes/connection.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { type ConfigMap, type ConfigMapName, readConfigMap } from '../kubernetes/config-map.ts';
import { type ParsedPolicy, parsePolicyConfigMap, parsePolicyFile } from '../policy/parse-policy.ts';
import type { Policy } from '../policy/policy.ts';
import type { Config } from '../process/config.ts';
import { ConfigMistakes } from '../process/config-mistakes.ts';
import { wordsOf } from './authorizer-health.ts';
import type { PolicyHealth } from './policy-in-force.ts';

export interface LoadPolicyOptions {
  readonly config: Config;
  readonly client: KubernetesClient;
  readonly health: PolicyHealth;
  readonly signal: AbortSignal;
}

/** A policy document that was found valid, with what it was read from. */
export type LoadedPolicy =
  | { readonly kind: 'file'; readonly path: string; readonly text: string; readonly policy: Policy }
  | { readonly kind: 'configMap'; readonly configMap: ConfigMap; readonly policy: Policy };

const retryMs = 1000;

/** The policy document at the start. Throws ConfigMistakes; waits for an API server that is away. */
export async function loadPolicy(options: LoadPolicyOptions): Promise<LoadedPolicy> {
  const { config, client, health, signal } = options;
  const { source } = config.policy;
  if (source.kind === 'file') {
    const text = readText(source.path);
    return { ...source, text, policy: parsePolicyText(source.path, text, config) };
  }
  const place = policyConfigMap(config, client);
  const title = `ConfigMap ${place.namespace}/${place.name}`;
  for (;;) {
    try {
      const configMap = await readConfigMap(client, place, signal);
      if (configMap === undefined) throw new ConfigMistakes(title, [{ path: '', message: 'does not exist' }]);
      const policy = validPolicy(title, parsePolicyConfigMap(configMap.data, policyOptions(config)));
      return { kind: 'configMap', configMap, policy };
    } catch (error) {
      if (!isDependencyError(error) || signal.aborted) throw error;
      health.degraded('policy', wordsOf(error));
    }
    await sleep(retryMs, undefined, { signal });
  }
}

/** Where the document is, by the process file. Throws ConfigMistakes. */
function policyConfigMap(
  { policy: { source } }: Config,
  { namespace: own }: KubernetesClient,
): ConfigMapName {
  if (source.kind === 'file') throw new TypeError('the policy document is a file');
  const namespace = source.namespace ?? own;
  if (namespace === undefined) {
    const message = 'must be set: this process does not run in a namespace';
    throw new ConfigMistakes('process file', [{ path: 'policy.configMap.namespace', message }]);
  }
  return { namespace, name: source.name };
}

export function readPolicyFile(path: string, config: Config): Policy {
  return parsePolicyText(path, readText(path), config);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown fault';
    throw new ConfigMistakes(path, [{ path: '', message: `the policy document can not be read (${code})` }]);
  }
}

/** Text of a policy file → Policy. Throws ConfigMistakes, which call the text by the name. */
export function parsePolicyText(name: string, text: string, config: Config): Policy {
  return validPolicy(name, parsePolicyFile(text, policyOptions(config)));
}

/** What of the process file a policy document is read with. */
export function policyOptions({ instance, policy, listeners: { http } }: Config) {
  const { defaultLimits, defaultTier } = policy;
  const isToldOfEnds = http === undefined || checkDoorProfiles[http.profile].tellsEnds;
  return {
    instance,
    defaultLimits,
    defaultTier,
    noConcurrency: isToldOfEnds
      ? undefined
      : `needs a gateway that tells of the end of requests; listeners.http.profile ${http.profile} is none`,
  };
}

function validPolicy(name: string, parsed: ParsedPolicy): Policy {
  if (!parsed.valid) throw new ConfigMistakes(name, parsed.mistakes);
  return parsed.policy;
}

export function kubeconfigOf({ kubernetes }: Config): ConnectionOptions {
  const { kubeconfig, context } = kubernetes;
  return { ...(kubeconfig !== undefined && { kubeconfig }), ...(context !== undefined && { context }) };
}
