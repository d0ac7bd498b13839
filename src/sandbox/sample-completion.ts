import { createHash } from 'node:crypto';

/**
 * What the sample model answers: the same sentence always, in the shapes of the OpenAI API (Chat Completions, Completions,
 * Embeddings; Responses and Anthropic's Messages have files of their own). A token is a word here, so that usage can be
 * counted by hand.
 */

export type Endpoint = 'chat/completions' | 'completions' | 'embeddings' | 'responses' | 'messages';

/**
 * What a request wants to see of a model that does not behave, as what follows a colon in the body's `model` (the path's
 * model outranks it): `hang` never answers, `error` is a 500, `no-usage` leaves usage out, `gzip` compresses for clients that
 * accept it, `gzip-always` for all.
 */
const behaviours = ['hang', 'error', 'no-usage', 'gzip', 'gzip-always'] as const;
export type Behaviour = (typeof behaviours)[number];

export interface InferenceRequest {
  readonly endpoint: Endpoint;
  readonly model: string;
  readonly promptTokens: number;
  /** As many words of the sentence as may be said. */
  readonly pieces: readonly string[];
  readonly finishReason: 'stop' | 'length';
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** In every event, as vLLM has it (`continuous_usage_stats`). */
  readonly continuousUsage: boolean;
  readonly behaviour: Behaviour | undefined;
  /** Of embeddings: one entry for each input. */
  readonly inputs: readonly string[];
  readonly embeddingFormat: 'float' | 'base64';
}

/** A request that can't be answered, as the body of a 400 says it. */
export interface Unreadable {
  readonly message: string;
  readonly param: string;
}

/** What an answer is stamped with. */
export interface Stamp {
  readonly id: string;
  readonly createdAtMs: number;
}

const sentence =
  'This is the sample model of the tiergate sandbox: no model has read your prompt, and every prompt gets this sentence.';
const words: readonly string[] = sentence.split(/(?= )/);

/** The path's model, when there is one, outranks the body's: the gateway has routed and judged by the path. */
export function readInferenceRequest(
  endpoint: Endpoint,
  pathModel: string | undefined,
  body: unknown,
): InferenceRequest | Unreadable {
  if (!isFields(body)) return unreadable('the body must be a JSON object', 'body');
  const model = pathModel ?? body['model'];
  if (typeof model !== 'string' || model === '') return unreadable('you must provide a model', 'model');
  const input = inputField[endpoint];
  const texts = textsOf(body[input]);
  if (texts === undefined)
    return unreadable(`${input} must be text, or a list with at least one entry`, input);
  const { n = 1, stream = false, encoding_format: format = 'float' } = body;
  if (n !== 1) return unreadable('the sample model gives one choice', 'n');
  if (typeof stream !== 'boolean') return unreadable('stream must be true or false', 'stream');
  const limit =
    body['max_output_tokens'] ?? body['max_completion_tokens'] ?? body['max_tokens'] ?? words.length;
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 1)
    return unreadable('max_tokens must be a whole number of at least 1', 'max_tokens');
  const streamOptions = isFields(body['stream_options']) ? body['stream_options'] : {};
  const behaviour = behaviourOf(body['model']);
  const tellsUsage = behaviour !== 'no-usage';
  return {
    endpoint,
    model,
    promptTokens: texts.reduce((sum, text) => sum + countTokens(text), 0),
    pieces: words.slice(0, limit),
    finishReason: limit < words.length ? 'length' : 'stop',
    stream: stream && endpoint !== 'embeddings',
    includeUsage: tellsUsage && streamOptions['include_usage'] === true,
    continuousUsage: tellsUsage && streamOptions['continuous_usage_stats'] === true,
    behaviour,
    inputs: texts,
    embeddingFormat: format === 'base64' ? 'base64' : 'float',
  };
}

function behaviourOf(model: unknown): Behaviour | undefined {
  if (typeof model !== 'string') return undefined;
  return behaviours.find((behaviour) => model.endsWith(`:${behaviour}`));
}

export function isUnreadable(request: InferenceRequest | Unreadable): request is Unreadable {
  return 'message' in request;
}

/** The answer in one piece. */
export function completionBody(request: InferenceRequest, stamp: Stamp): unknown {
  const { endpoint, model, pieces, finishReason } = request;
  if (endpoint === 'embeddings') return embeddingsBody(request);
  const text = pieces.join('');
  const choice =
    endpoint === 'chat/completions'
      ? { index: 0, message: { role: 'assistant', content: text, refusal: null } }
      : { index: 0, text };
  return {
    id: stamp.id,
    object: endpoint === 'chat/completions' ? 'chat.completion' : 'text_completion',
    created: Math.floor(stamp.createdAtMs / 1000),
    model,
    choices: [{ ...choice, logprobs: null, finish_reason: finishReason }],
    ...(request.behaviour !== 'no-usage' && { usage: usageOf(request) }),
  };
}

/** The answer in pieces, one for each server-sent event; usage is the last one's, and only if asked for. */
export function completionChunks(request: InferenceRequest, stamp: Stamp): readonly unknown[] {
  const { endpoint, model, pieces, finishReason, includeUsage, continuousUsage } = request;
  const isChat = endpoint === 'chat/completions';
  const chunk = (choices: readonly object[], usage: unknown = null) => ({
    id: stamp.id,
    object: isChat ? 'chat.completion.chunk' : 'text_completion',
    created: Math.floor(stamp.createdAtMs / 1000),
    model,
    choices,
    ...(includeUsage ? { usage } : {}),
  });
  const choice = (content: object, reason: string | null = null) =>
    chunk([{ index: 0, ...content, logprobs: null, finish_reason: reason }]);
  const opening = isChat ? [choice({ delta: { role: 'assistant', content: '' } })] : [];
  const said = pieces.map((piece, index) => {
    const part = choice(isChat ? { delta: { content: piece } } : { text: piece });
    const usage = usageOf({ ...request, pieces: pieces.slice(0, index + 1) });
    return continuousUsage ? Object.assign(part, { usage }) : part;
  });
  const closing = choice(isChat ? { delta: {} } : { text: '' }, finishReason);
  const usage = includeUsage ? [chunk([], usageOf(request))] : [];
  return [...opening, ...said, closing, ...usage];
}

function usageOf({ promptTokens, pieces }: InferenceRequest): unknown {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: pieces.length,
    total_tokens: promptTokens + pieces.length,
  };
}

function embeddingsBody(request: InferenceRequest): unknown {
  const { inputs, model, promptTokens, embeddingFormat, behaviour } = request;
  return {
    object: 'list',
    data: inputs.map((text, index) => ({
      object: 'embedding',
      index,
      embedding: embed(text, embeddingFormat),
    })),
    model,
    ...(behaviour !== 'no-usage' && { usage: { prompt_tokens: promptTokens, total_tokens: promptTokens } }),
  };
}

const dimensions = 8;

/** The same vector for the same text, and meaning nothing; base64 is of little-endian 32-bit floats. */
function embed(text: string, format: 'float' | 'base64'): readonly number[] | string {
  const hash = createHash('sha256').update(text).digest();
  const vector = Array.from({ length: dimensions }, (_, index) => hash.readInt8(index) / 128);
  return format === 'float' ? vector : Buffer.from(new Float32Array(vector).buffer).toString('base64');
}

const inputField: Readonly<Record<Endpoint, string>> = {
  'chat/completions': 'messages',
  completions: 'prompt',
  embeddings: 'input',
  responses: 'input',
  messages: 'messages',
};

/** A text, texts, or chat messages whose content is either; undefined when there is none of it. */
function textsOf(value: unknown): readonly string[] | undefined {
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value) || value.length === 0) return undefined;
  return value.map(textOf);
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(textOf).join(' ');
  return isFields(value) ? textOf(value['content'] ?? value['text'] ?? '') : '';
}

function countTokens(text: string): number {
  return text.split(/\s+/).filter(Boolean).length;
}

function unreadable(message: string, param: string): Unreadable {
  return { message, param };
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
