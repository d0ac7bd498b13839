import { describe, expect, it } from 'vitest';
import type { MetadataScalar } from '../../src/check/check-input.ts';
import { readDemand } from '../../src/settle/demand.ts';
import { checkInput } from '../support/check-input.ts';

const demandOf = (metadata: Readonly<Record<string, MetadataScalar>>) => readDemand(checkInput({ metadata }));

describe('what a request asks in tokens', () => {
  it("is what Envoy's filters found in its body", () => {
    expect(
      demandOf({ prompt_tokens: 12, max_tokens: '100', stream: '1', include_usage: true }),
    ).toStrictEqual({
      promptTokens: 12,
      maxTokens: 100,
      isStream: true,
      includesUsage: true,
    });
  });

  it('is not known where nothing was found, or nonsense', () => {
    for (const metadata of [{}, { prompt_tokens: -1, max_tokens: 'many' }, { max_tokens: 0.5 }]) {
      expect(demandOf(metadata)).toStrictEqual({
        promptTokens: undefined,
        maxTokens: undefined,
        isStream: false,
        includesUsage: undefined,
      });
    }
  });
});
