import { mostTokens } from '../check/reservation.ts';

/** Tokens that a request used, as its model told. Whole numbers; what is absent was not told. */
export interface Usage {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly totalTokens?: number;
}

/**
 * Where usage stands in an answer: of OpenAI's chat completions, completions and embeddings (`prompt_tokens` ...), of its
 * Responses and of Anthropic's messages (`input_tokens` ...). The names are those of Envoy's metadata and rate limit
 * descriptors too.
 */
export const usageNames = [
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  'input_tokens',
  'output_tokens',
  'cache_creation_input_tokens',
  'cache_read_input_tokens',
] as const;

export type UsageName = (typeof usageNames)[number];

/**
 * Counts by name → usage; undefined where none of them is one. Whoever says `input_tokens` without a total does not count
 * in it what a cache gave or took (Anthropic's messages API); OpenAI's names have it in them.
 */
export function usageFromCounts(get: (name: UsageName) => unknown): Usage | undefined {
  const count = (name: UsageName) => wholeNumber(get(name));
  const totalTokens = count('total_tokens');
  const inputTokens = count('prompt_tokens') ?? uncachedInput(count, totalTokens);
  const outputTokens = count('completion_tokens') ?? count('output_tokens');
  const usage: Usage = {
    ...(inputTokens !== undefined && { inputTokens }),
    ...(outputTokens !== undefined && { outputTokens }),
    ...(totalTokens !== undefined && { totalTokens }),
  };
  return Object.keys(usage).length === 0 ? undefined : usage;
}

function uncachedInput(
  count: (name: UsageName) => number | undefined,
  totalTokens: number | undefined,
): number | undefined {
  const input = count('input_tokens');
  if (input === undefined || totalTokens !== undefined) return input;
  return input + (count('cache_creation_input_tokens') ?? 0) + (count('cache_read_input_tokens') ?? 0);
}

/** Envoy's filters write numbers as text where they are told to. */
function wholeNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !(number >= 0)) return undefined;
  return Math.min(Math.ceil(number), mostTokens);
}
