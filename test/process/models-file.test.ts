import { describe, expect, it } from 'vitest';

import { parseModelsFile } from '../../src/process/models-file.ts';

const parse = (content: string) => parseModelsFile(content, { file: 'models.yaml', createdAtMs: 7_000 });

describe('the file of models', () => {
  it('names each by namespace and name, and more where it is known', () => {
    const models = parse(`
- {namespace: llm, name: llama}
- namespace: llm
  name: qwen-large
  id: Qwen/Qwen3
  url: https://models.example/llm/qwen-large
  ready: false
  displayName: Qwen, the large one
`);
    expect(models).toEqual([
      { namespace: 'llm', objectName: 'llama', id: 'llama', ready: true, createdAtMs: 7_000 },
      {
        namespace: 'llm',
        objectName: 'qwen-large',
        id: 'Qwen/Qwen3',
        url: 'https://models.example/llm/qwen-large',
        ready: false,
        displayName: 'Qwen, the large one',
        createdAtMs: 7_000,
      },
    ]);
  });

  it('may be empty', () => {
    expect(parse('')).toEqual([]);
    expect(parse('[]')).toEqual([]);
  });

  it.each([
    ['models: []', /must be a list of models/],
    ['- {namespace: llm}', /0\.name: must be/],
    ['- {namespace: LLM, name: llama}', /0\.namespace: must be/],
    ['- {namespace: llm, name: llama, ready: yes please}', /0\.ready: must be true or false/],
    ['- {namespace: llm, name: llama, url: "javascript:alert(1)"}', /0\.url: must be a URL/],
    ['- {namespace: llm, name: llama, tier: free}', /tier/],
    ['- {', /models\.yaml/],
  ])('%s is no such file, and it is said why', (content, words) => {
    expect(() => parse(content)).toThrow(words);
  });
});
