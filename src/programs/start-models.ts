import { readFileSync } from 'node:fs';

import type { ListServedModels } from '../issue/models.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { createServedModels } from '../kubernetes/llm-inference-services.ts';
import { ConfigMistakes, isConfigMistakes } from '../process/config-mistakes.ts';
import { followFile } from '../process/followed-file.ts';
import type { Metrics } from '../process/metrics.ts';
import { parseModelsFile } from '../process/models-file.ts';
import type { Readiness } from '../process/readiness.ts';
import { wordsOf } from './authorizer-health.ts';
import type { ServerContext } from './run-server.ts';

export interface ModelsParts {
  readonly client: KubernetesClient;
  readonly metrics: Metrics;
  readonly health: Pick<Readiness<'models'>, 'ready' | 'degraded'>;
}

/** Where the models are from: the process file says a file, else the cluster's own objects. */
export async function startModels(
  { config, lifecycle, events }: ServerContext,
  { client, metrics, health }: ModelsParts,
): Promise<ListServedModels> {
  const file = config.issuer.modelsFile;
  if (file !== undefined) return startModelsFile(file, { lifecycle, events, health });
  const observer = metrics.watchObserver('llminferenceservices');
  const models = await lifecycle.start({
    name: 'models',
    start: () =>
      createServedModels({
        client,
        onPhase({ phase, fault }) {
          if (phase === 'up') {
            observer.up();
            health.ready('models');
            events.watchUp({ resource: 'llminferenceservices' });
          } else if (phase !== 'starting') {
            observer.down();
            health.degraded('models', `the models of the cluster are not followed: ${wordsOf(fault)}`);
            events.watchDown({ resource: 'llminferenceservices', error: fault });
          }
        },
      }),
    stop: (started) => started.stop(),
  });
  return models.listServedModels;
}

/** A file that can not be read at the start ends the program; later, what was read last goes on. */
async function startModelsFile(
  path: string,
  parts: Pick<ServerContext, 'lifecycle' | 'events'> & Pick<ModelsParts, 'health'>,
): Promise<ListServedModels> {
  const { lifecycle, health } = parts;
  const text = readModelsText(path);
  const createdAtMs = Date.now();
  let models = parseModelsFile(text, { file: path, createdAtMs });
  const keep = (words: string) => health.degraded('models', `${path}: ${words}; what was read last goes on`);
  await lifecycle.start({
    name: 'models',
    start: () =>
      followFile({
        path,
        text,
        onText(newText) {
          try {
            models = parseModelsFile(newText, { file: path, createdAtMs });
            health.ready('models');
          } catch (error) {
            if (!isConfigMistakes(error)) throw error;
            keep(error.message);
          }
        },
        onUnreadable: (code) => keep(`can not be read (${code})`),
      }),
    stop: (followed) => followed.stop(),
  });
  health.ready('models');
  return () => models;
}

function readModelsText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown fault';
    throw new ConfigMistakes(path, [{ path: '', message: `can not be read (${code})` }]);
  }
}
