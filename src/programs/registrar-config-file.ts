import { createKubernetesClient, type KubernetesClient } from '../kubernetes/client.ts';
import { loadConnection } from '../kubernetes/connection.ts';
import { type Config, loadConfig } from '../process/config.ts';
import { ConfigMistakes } from '../process/config-mistakes.ts';
import { readEnvironment } from '../process/environment.ts';
import type { RegistrarConfig } from '../process/registrar-config.ts';
import { kubeconfigOf } from './load-policy.ts';
import type { ProgramIo } from './program.ts';

export interface RegistrarFile {
  readonly config: Config;
  readonly registrar: RegistrarConfig;
}

/** The process file of a command. Throws ConfigMistakes. */
export function loadRegistrarFile(path: string | undefined, { env }: Pick<ProgramIo, 'env'>): RegistrarFile {
  const file = path ?? readEnvironment(env).configFile;
  if (file === undefined)
    throw new ConfigMistakes('arguments', [
      { path: '', message: 'name a process file: --config FILE or CONFIG_FILE' },
    ]);
  // Nothing is counted here: a file for the registrar alone says nothing of Redis.
  const config = loadConfig(file, { counters: false });
  return { config, registrar: registrarOf(config, file) };
}

export function registrarOf(config: Config, file: string): RegistrarConfig {
  const { registrar } = config;
  if (registrar !== undefined) return registrar;
  throw new ConfigMistakes(file, [{ path: 'registrar', message: 'is needed by this command' }]);
}

const kubernetesTimeoutMs = 10_000;

export async function connectKubernetes(config: Config): Promise<KubernetesClient> {
  return createKubernetesClient({
    connection: await loadConnection(kubeconfigOf(config)),
    timeoutMs: kubernetesTimeoutMs,
  });
}
