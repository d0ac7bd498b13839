import type { CheckInput } from '../check/check-input.ts';
import { pathname } from '../check/model.ts';
import { mostTokens } from '../check/reservation.ts';
import type { TokenDemand } from '../check/token-demand.ts';

/** The last segment of the APIs whose answers hold no generated text: what goes in is all that counts. */
const withoutAnswer = new Set([
  'embeddings',
  'rerank',
  'score',
  'classify',
  'pooling',
  'tokenize',
  'detokenize',
  'count_tokens',
]);

/** The last segment of the APIs whose streams always tell their usage: Anthropic's messages, OpenAI's Responses. */
const alwaysTelling = new Set(['messages', 'responses']);

/** Methods that send no prompt. */
const withoutPrompt = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE']);

/** English text has about four bytes to a token. */
const bytesPerToken = 4;

/** A longer body is not looked into: to parse it would hold up others. Envoy's own filters stop there too. */
const maxBodyBytes = 1024 * 1024;

/** Bodies and metadata have the same names, but for one that is nested in bodies. */
const limitNames = ['max_tokens', 'max_completion_tokens', 'max_output_tokens'] as const;
const choiceNames = ['n', 'best_of'] as const;

type Words = ReadonlyMap<string, unknown>;

/**
 * What a request asks for, in its own words: those that Envoy's json_to_metadata found, else those of the body where Envoy
 * sends it. Several limits: the largest counts, since nobody knows which the model obeys. A limit that is none (negative,
 * no number) is as none at all; beside one that is, it could mean any number, and so does.
 */
export function readDemand(input: CheckInput): TokenDemand {
  if (withoutPrompt.has(input.method)) return nothingAsked;
  const api = lastSegment(input.path);
  const words = input.metadata.size > 0 ? input.metadata : wordsOf(input.body);
  // Envoy and JSON.parse are stricter than model servers are: what neither can read may ask for a stream all the same.
  const isStream = isTruthy(words.get('unreadable'), false) || isTruthy(words.get('stream'), true);
  return {
    promptTokens: promptTokens(input),
    maxTokens: withoutAnswer.has(api) ? 0 : maxTokens(words),
    answers: Math.max(1, ...choiceNames.map((name) => positive(words.get(name)) ?? 1)),
    isStream,
    includesUsage: isStream
      ? alwaysTelling.has(api) || isTruthy(words.get('include_usage'), false)
      : undefined,
  };
}

const nothingAsked: TokenDemand = {
  promptTokens: 0,
  maxTokens: 0,
  answers: 1,
  isStream: false,
  includesUsage: undefined,
};

function lastSegment(path: string): string {
  const name = pathname(path);
  return name.slice(name.lastIndexOf('/') + 1);
}

function promptTokens({ bodyBytes }: CheckInput): number | undefined {
  return bodyBytes === undefined ? undefined : Math.min(Math.ceil(bodyBytes / bytesPerToken), mostTokens);
}

function maxTokens(words: Words): number | undefined {
  const said = limitNames
    .map((name) => words.get(name))
    .filter((value) => value !== undefined && value !== null);
  const believable = said.map(positive).filter((value) => value !== undefined);
  if (believable.length === 0) return undefined;
  return believable.length < said.length ? mostTokens : Math.max(...believable);
}

/** As lax as the model servers' own readers are: numbers as text (also "1_000", as Python has it), and fractions, are taken. */
function positive(value: unknown): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value.replaceAll('_', '')) : value;
  if (typeof number !== 'number' || !(number > 0)) return undefined;
  return Math.min(Math.ceil(number), mostTokens);
}

const truthy = new Set<unknown>([true, 1, '1', 'true', 't', 'yes', 'y', 'on']);
const falsy = new Set<unknown>([undefined, null, false, 0, '', '0', 'false', 'f', 'no', 'n', 'off']);

function isTruthy(value: unknown, otherwise: boolean): boolean {
  const word = typeof value === 'string' ? value.toLowerCase() : value;
  if (truthy.has(word)) return true;
  return falsy.has(word) ? false : otherwise;
}

/** What limits and streams are read from. */
const demandNames = [...limitNames, ...choiceNames, 'stream', 'include_usage', 'unreadable'] as const;

/** A body in the few words that readDemand reads of it, as Envoy's metadata would hold them; never its prompt. */
export function demandMetadata(body: Uint8Array): Readonly<Record<string, string | number | boolean>> {
  const words = wordsOf(body);
  const found = demandNames.flatMap((name) => {
    const value = words.get(name) ?? undefined;
    if (value === undefined) return [];
    return [[name, typeof value === 'object' ? 'no scalar' : (value as string | number | boolean)] as const];
  });
  return Object.fromEntries(found);
}

const noWords: Words = new Map();
const unreadable: Words = new Map([['unreadable', true]]);

function wordsOf(body: Uint8Array | undefined): Words {
  if (body === undefined || body.length === 0) return noWords;
  const parsed = body.length > maxBodyBytes ? undefined : parseJson(body);
  if (!isFields(parsed)) return parsed === undefined ? unreadable : noWords;
  const words = new Map(Object.entries(parsed));
  const options = words.get('stream_options');
  if (isFields(options)) words.set('include_usage', options['include_usage']);
  return words;
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8'));
  } catch {
    return undefined;
  }
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
