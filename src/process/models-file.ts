import { parseDocument } from 'yaml';
import { z } from 'zod';

import type { ServedModel } from '../issue/models.ts';
import { label, objectName, text } from './config-fields.ts';
import { ConfigMistakes } from './config-mistakes.ts';

const words = text('text').optional();

const modelSchema = z.strictObject({
  namespace: label,
  /** Of the object that access is granted by. */
  name: objectName,
  /** What clients put into `model`; the name unless said. */
  id: words,
  url: text('a URL', /^https?:\/\/\S+$/).optional(),
  ready: z.boolean({ error: 'must be true or false' }).default(true),
  displayName: words,
  description: words,
  useCase: words,
});

const documentSchema = z.array(modelSchema, { error: 'must be a list of models' });

export interface ModelsFileOptions {
  /** Name of the text in messages. */
  readonly file: string;
  /** Shown as the time that the models were made. */
  readonly createdAtMs: number;
}

/** A YAML list of models, for clusters without LLMInferenceService objects. Throws ConfigMistakes with every mistake at once. */
export function parseModelsFile(content: string, options: ModelsFileOptions): readonly ServedModel[] {
  const { file, createdAtMs } = options;
  const yaml = parseDocument(content, { uniqueKeys: true });
  if (yaml.errors.length > 0) {
    throw new ConfigMistakes(
      file,
      yaml.errors.map(({ message }) => ({ path: '', message: message.split('\n')[0] ?? message })),
    );
  }
  const parsed = documentSchema.safeParse(yaml.toJS() ?? []);
  if (!parsed.success) {
    throw new ConfigMistakes(
      file,
      parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })),
    );
  }
  return parsed.data.map((model) => servedModelFrom(model, createdAtMs));
}

function servedModelFrom(model: z.output<typeof modelSchema>, createdAtMs: number): ServedModel {
  const { namespace, name, ready, id = name, url, displayName, description, useCase } = model;
  return {
    namespace,
    objectName: name,
    id,
    ready,
    createdAtMs,
    ...(url !== undefined && { url }),
    ...(displayName !== undefined && { displayName }),
    ...(description !== undefined && { description }),
    ...(useCase !== undefined && { useCase }),
  };
}
