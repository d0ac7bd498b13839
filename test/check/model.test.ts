import { describe, expect, it } from 'vitest';
import { createReadModel, type ModelOptions } from '../../src/check/model.ts';
import { isDenied } from '../../src/check/outcome.ts';
import { createReadRoute } from '../../src/check/route.ts';
import { checkInput } from '../support/check-input.ts';
import { heldBytes } from '../support/held-bytes.ts';

const fromPath: ModelOptions = { from: 'path', template: '/{namespace}/{model}/', header: undefined };

function read(options: ModelOptions, parts: Parameters<typeof checkInput>[0]): string {
  const model = createReadModel(options)(checkInput(parts));
  return isDenied(model) ? model.reason : model.id;
}

describe('the model of a request', () => {
  it.each([
    ['/llm/llama/v1/chat/completions', 'llm/llama'],
    ['/llm/llama', 'llm/llama'],
    ['/llm/llama?model=llm/qwen-large', 'llm/llama'],
    ['/llm/llama.v2/x', 'llm/llama.v2'],
    ['/llm', 'model_unknown'],
    ['/', 'model_unknown'],
    ['/llm/', 'model_unknown'],
    ['/v1/models/x', 'model_unknown'],
    ['/maas-api/llama/x', 'model_unknown'],
    ['/LLM/llama/x', 'model_unknown'],
    ['/llm/%6clama/x', 'model_unknown'],
    ['/-llm/llama/x', 'model_unknown'],
    [`/${'a'.repeat(64)}/llama/x`, 'model_unknown'],
    [`/llm/${'a'.repeat(254)}/x`, 'model_unknown'],
    ['/llm/llama..v2/x', 'model_unknown'],
  ])('in the path %s is %s', (path, expected) => {
    expect(read(fromPath, { path })).toBe(expected);
  });

  it('follows the template, literals and order', () => {
    const options: ModelOptions = { ...fromPath, template: '/serve/{model}/of/{namespace}/' };
    expect(read(options, { path: '/serve/llama/of/llm/v1/chat' })).toBe('llm/llama');
    expect(read(options, { path: '/serve/llama/in/llm/v1/chat' })).toBe('model_unknown');
    expect(read(options, { path: '/serve/llama/of' })).toBe('model_unknown');
  });

  it('never falls through from the configured source to another', () => {
    const everywhere = {
      path: '/llm/from-path/v1/chat',
      headers: { 'x-model': 'llm/from-header' },
      contextExtensions: { 'tiergate.namespace': 'llm', 'tiergate.model': 'from-context' },
      metadata: { model: 'llm/from-metadata' },
    };
    for (const from of ['path', 'header', 'context', 'metadata'] as const) {
      expect(read({ ...fromPath, from, header: 'x-model' }, everywhere)).toBe(`llm/from-${from}`);
    }
    expect(read({ ...fromPath, from: 'context' }, { metadata: everywhere.metadata })).toBe('model_unknown');
    expect(read({ ...fromPath, from: 'metadata' }, { headers: everywhere.headers })).toBe('model_unknown');
    expect(read({ ...fromPath, from: 'header', header: 'x-model' }, {})).toBe('model_unknown');
  });

  it('takes no name apart that is not exactly namespace/name', () => {
    for (const model of ['llama', '/llama', 'llm/', 'llm/llama/x', 'v1/models', '', 7]) {
      expect(read({ ...fromPath, from: 'metadata' }, { metadata: { model } })).toBe('model_unknown');
    }
  });

  it('refuses options that can not work when it is made', () => {
    expect(() => createReadModel({ ...fromPath, template: '/{model}/' })).toThrow(TypeError);
    expect(() => createReadModel({ ...fromPath, from: 'header' })).toThrow(TypeError);
  });
});

it('what is remembered of a path keeps nothing else of the request in memory', async () => {
  const readModel = createReadModel({ from: 'path', template: '/{namespace}/{model}', header: undefined });
  const route = createReadRoute({ public: [], identityOnly: [], cors: false });
  const models: unknown[] = [];
  const before = await heldBytes();
  for (let at = 100; at < 300; at += 1) {
    const path = Buffer.from(`/some-namespace/some-long-model-${at}/v1?${'q'.repeat(50_000)}`).toString();
    const input = checkInput({ path });
    expect(route(input)).toBe('model');
    models.push(readModel(input));
  }
  // Of what is too long to be remembered by its path, principals remember the model.
  for (let at = 100; at < 200; at += 1) {
    const path = Buffer.from(`/some-namespace/another-model-${at}/${'p'.repeat(50_000)}`).toString();
    models.push(readModel(checkInput({ path })));
  }
  expect((await heldBytes()) - before).toBeLessThan(2_000_000);
  expect(models).toHaveLength(300);
});
