import { DependencyError } from '../dependency-error.ts';
import type { ListServedModels, ServedModel } from '../issue/models.ts';
import type { KubernetesClient } from './client.ts';
import type { Collection } from './collection.ts';
import { isRecord, type JsonRecord } from './json-shape.ts';
import { readMetadata } from './object-metadata.ts';
import { createObjectWatch, type WatchState, type WatchTimings } from './object-watch.ts';

interface KeptModel extends ServedModel {
  readonly uid: string;
}

export interface ServedModelsOptions {
  readonly client: KubernetesClient;
  readonly onPhase: (state: WatchState) => void;
  readonly timings?: Partial<WatchTimings>;
}

export interface ServedModels {
  readonly listServedModels: ListServedModels;
  /** Resolves once the models are known, or it is known that they may not be read. */
  readonly settled: () => Promise<void>;
  readonly stop: () => void;
}

const details = {
  useCase: 'opendatahub.io/genai-use-case',
  description: 'openshift.io/description',
  displayName: 'openshift.io/display-name',
} as const;

const collection: Collection<KeptModel> = {
  path: '/apis/serving.kserve.io/v1alpha1/llminferenceservices',
  accept: { list: 'application/json', watch: 'application/json' },
  read: readModel,
};

/** Models as the LLMInferenceService objects (KServe) of all namespaces, watched. Needs `list` and `watch` on them. */
export function createServedModels(options: ServedModelsOptions): ServedModels {
  const watch = createObjectWatch({ ...options, collection });
  return {
    listServedModels: () => {
      const { phase, fault } = watch.state();
      if (phase === 'starting' || phase === 'refused') {
        throw new DependencyError('kubernetes', 'unreachable', {
          detail: 'the models of the cluster are not known',
          ...(fault !== undefined && { cause: fault }),
        });
      }
      return [...watch.values()];
    },
    settled: watch.settled,
    stop: watch.stop,
  };
}

function readModel(object: unknown): KeptModel | undefined {
  if (!isRecord(object)) return undefined;
  const metadata = readMetadata(object);
  const { namespace, name, uid, annotations, createdAtMs, isEnding } = metadata;
  const status = isRecord(object['status']) ? object['status'] : {};
  const id = textAt(object, ['spec', 'model', 'name']) ?? name;
  const url = urlOf(status);
  const useCase = annotations[details.useCase];
  const description = annotations[details.description];
  const displayName = annotations[details.displayName];
  return {
    uid,
    namespace,
    objectName: name,
    id,
    createdAtMs,
    ready: !isEnding && isReady(object, status),
    ...(url !== undefined && { url }),
    ...(useCase !== undefined && { useCase }),
    ...(description !== undefined && { description }),
    ...(displayName !== undefined && { displayName }),
  };
}

function urlOf(status: JsonRecord): string | undefined {
  const addresses = status['addresses'];
  const [first] = Array.isArray(addresses) ? (addresses as readonly unknown[]) : [];
  return textAt(status, ['url']) ?? textAt(status, ['address', 'url']) ?? textAt(first, ['url']);
}

/** As MaaS tells it: the controller has seen the newest spec, and every condition that it reports is True. */
function isReady(object: JsonRecord, status: JsonRecord): boolean {
  const metadata = isRecord(object['metadata']) ? object['metadata'] : {};
  const conditions = status['conditions'];
  return (
    status['observedGeneration'] === metadata['generation'] &&
    Array.isArray(conditions) &&
    conditions.length > 0 &&
    conditions.every((condition) => isRecord(condition) && condition['status'] === 'True')
  );
}

function textAt(value: unknown, path: readonly string[]): string | undefined {
  const found = path.reduce<unknown>((at, key) => (isRecord(at) ? at[key] : undefined), value);
  return typeof found === 'string' && found !== '' ? found : undefined;
}
