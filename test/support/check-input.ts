import type { CheckInput } from '../../src/check/check-input.ts';

interface CheckInputParts extends Partial<Omit<CheckInput, 'headers' | 'contextExtensions' | 'metadata'>> {
  readonly headers?: Readonly<Record<string, string>>;
  readonly contextExtensions?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, string | number | boolean>>;
}

/** A chat completion on `llm/llama`, with whatever a test wants to be different. */
export function checkInput(parts: CheckInputParts = {}): CheckInput {
  const { headers = {}, contextExtensions = {}, metadata = {}, ...rest } = parts;
  return {
    id: '1234',
    method: 'POST',
    path: '/llm/llama/v1/chat/completions',
    forgedHeaders: [],
    source: '127.0.0.1',
    deadlineAtMs: Number.POSITIVE_INFINITY,
    ...rest,
    headers: new Map(Object.entries(headers)),
    contextExtensions: new Map(Object.entries(contextExtensions)),
    metadata: new Map(Object.entries(metadata)),
  };
}
