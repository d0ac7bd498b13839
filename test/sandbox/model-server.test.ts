import { describe, expect, it, onTestFinished } from 'vitest';
import {
  createModelServer,
  type ModelRequest,
  type ModelServerOptions,
} from '../../src/sandbox/model-server.ts';

const chat = { model: 'any', messages: [{ role: 'user', content: 'one two three' }] };

async function start(options: ModelServerOptions = {}) {
  const requests: ModelRequest[] = [];
  const server = createModelServer({ onRequest: (request) => requests.push(request), ...options });
  const { url } = await server.start();
  onTestFinished(server.stop);
  const post = (path: string, body: unknown, init: RequestInit = {}) =>
    fetch(url + path, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
    });
  return { url, server, requests, post };
}

interface Chunk {
  readonly choices: readonly {
    readonly delta?: { readonly content?: string };
    readonly text?: string;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: object | null;
}

/** The data of each server-sent event. */
async function events(answer: Response): Promise<readonly string[]> {
  const text = await answer.text();
  return text
    .split('\n\n')
    .filter(Boolean)
    .map((event) => event.replace(/^data: /, ''));
}

function chunksOf(data: readonly string[]): readonly Chunk[] {
  return data.slice(0, -1).map((text) => JSON.parse(text) as Chunk);
}

function wordsOf(chunks: readonly Chunk[]): string {
  return chunks
    .flatMap(({ choices }) => choices.map((choice) => choice.delta?.content ?? choice.text ?? ''))
    .join('');
}

describe('the sample model', () => {
  it('answers a chat with a sentence that says it is a sample, and with usage', async () => {
    const { post } = await start({ now: () => 1_800_000_000_000 });
    const answer = await post('/llm/llama/v1/chat/completions', chat);
    expect(answer.status).toBe(200);
    const body = (await answer.json()) as {
      readonly choices: readonly { readonly message: { readonly content: string } }[];
    };
    expect(body).toMatchObject({
      object: 'chat.completion',
      created: 1_800_000_000,
      model: 'llama',
      choices: [{ index: 0, message: { role: 'assistant' }, finish_reason: 'stop' }],
    });
    const content = body.choices[0]?.message.content ?? '';
    expect(content).toMatch(/^This is the sample model of the tiergate sandbox/);
    const words = content.split(' ').length;
    expect(body).toMatchObject({
      usage: { prompt_tokens: 3, completion_tokens: words, total_tokens: 3 + words },
    });
  });

  it('says the same each time, and stops at max_tokens', async () => {
    const { post } = await start();
    const ask = async (more: object) => {
      const answer = await post('/v1/completions', { model: 'm', prompt: ['a b', 'c'], ...more });
      return (await answer.json()) as object;
    };
    const [first, second] = [await ask({}), await ask({})];
    expect({ ...first, id: '', created: 0 }).toEqual({ ...second, id: '', created: 0 });
    expect(await ask({ max_tokens: 3 })).toMatchObject({
      object: 'text_completion',
      model: 'm',
      choices: [{ text: 'This is the', finish_reason: 'length' }],
      usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
    });
  });

  it('streams word by word, ends with [DONE], and says no usage unless asked', async () => {
    const { post } = await start();
    const answer = await post('/llm/llama/v1/chat/completions', { ...chat, stream: true, max_tokens: 4 });
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    const data = await events(answer);
    expect(data.at(-1)).toBe('[DONE]');
    const chunks = chunksOf(data);
    expect(chunks[0]).toMatchObject({
      object: 'chat.completion.chunk',
      model: 'llama',
      choices: [{ delta: { role: 'assistant', content: '' }, finish_reason: null }],
    });
    expect(wordsOf(chunks)).toBe('This is the sample');
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('length');
    expect(chunks.map((chunk) => 'usage' in chunk)).toEqual(chunks.map(() => false));
  });

  it('streams usage last when it is asked for', async () => {
    const { post } = await start();
    const more = { stream: true, max_tokens: 2, stream_options: { include_usage: true } };
    const chunks = chunksOf(await events(await post('/v1/chat/completions', { ...chat, ...more })));
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    });
    expect(chunks.slice(0, -1).map(({ usage }) => usage)).toEqual(chunks.slice(0, -1).map(() => null));
  });

  it('streams completions too', async () => {
    const { post } = await start();
    const body = { model: 'm', prompt: 'x', stream: true, max_tokens: 2 };
    const chunks = chunksOf(await events(await post('/llm/llama/v1/completions', body)));
    expect(wordsOf(chunks)).toBe('This is');
    expect(chunks[0]).toMatchObject({ object: 'text_completion' });
  });

  it('counts the text in parts of a message', async () => {
    const { post } = await start();
    const content = [
      { type: 'text', text: 'one two' },
      { type: 'image_url', image_url: { url: 'x' } },
    ];
    const answer = await post('/v1/chat/completions', { model: 'm', messages: [{ role: 'user', content }] });
    expect(await answer.json()).toMatchObject({ usage: { prompt_tokens: 2 } });
  });

  it('embeds: the same vector for the same text, as numbers or base64', async () => {
    const { post } = await start();
    const embed = async (more: object) =>
      (await (await post('/llm/embedder/v1/embeddings', { input: ['a b', 'c', 'a b'], ...more })).json()) as {
        readonly data: readonly { readonly embedding: readonly number[] | string }[];
      };
    const plain = await embed({});
    expect(plain).toMatchObject({
      object: 'list',
      model: 'embedder',
      usage: { prompt_tokens: 5, total_tokens: 5 },
    });
    const [first, second, third] = plain.data.map(({ embedding }) => embedding);
    expect(first).toHaveLength(8);
    expect(first).toEqual(third);
    expect(first).not.toEqual(second);
    const encoded = (await embed({ encoding_format: 'base64' })).data[0]?.embedding ?? '';
    const bytes = Uint8Array.from(Buffer.from(String(encoded), 'base64'));
    expect([...new Float32Array(bytes.buffer)]).toEqual(first);
  });

  it('is the model of the path, whatever the body says', async () => {
    const { post } = await start();
    const answer = await post('/llm/llama/v1/chat/completions', { ...chat, model: 'qwen-large' });
    expect(await answer.json()).toMatchObject({ model: 'llama' });
  });
});

describe('the sample server', () => {
  it.each([
    ['no JSON', '{bad', 'body'],
    ['no model', { messages: chat.messages }, 'model'],
    ['no messages', { model: 'm' }, 'messages'],
    ['no message', { model: 'm', messages: [] }, 'messages'],
    ['two choices', { ...chat, n: 2 }, 'n'],
    ['no room to answer', { ...chat, max_tokens: 0 }, 'max_tokens'],
    ['a stream that is a word', { ...chat, stream: 'yes' }, 'stream'],
  ])('answers 400 to %s, in the shape of OpenAI', async (_what, body, param) => {
    const { post } = await start();
    const answer = await post('/v1/chat/completions', body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toEqual({
      error: { message: expect.any(String), type: 'invalid_request_error', param, code: null },
    });
  });

  it('answers 404, 405 and 413 in the same shape', async () => {
    const { url, post } = await start();
    const error = (code: string) => ({ error: { type: 'invalid_request_error', param: null, code } });
    const absent = await post('/llm/llama/v2/chat/completions', chat);
    expect([absent.status, await absent.json()]).toMatchObject([404, error('not_found')]);
    const got = await fetch(`${url}/v1/chat/completions`);
    expect([got.status, await got.json()]).toMatchObject([405, error('method_not_allowed')]);
    const large = await post('/v1/chat/completions', 'x'.repeat(1024 * 1024 + 1));
    expect([large.status, await large.json()]).toMatchObject([413, error('body_too_large')]);
  });

  it('shows what arrived: path as sent, headers, body', async () => {
    const { post, requests } = await start();
    await (
      await post('/llm/llama/v1/chat/completions?a=%2F', chat, { headers: { 'x-tiergate-user': 'alice' } })
    ).text();
    await (await post('/anything', '')).text();
    expect(requests).toMatchObject([
      {
        method: 'POST',
        path: '/llm/llama/v1/chat/completions?a=%2F',
        headers: { 'x-tiergate-user': 'alice' },
        body: JSON.stringify(chat),
      },
      { path: '/anything', body: '' },
    ]);
    expect(requests[0]?.rawHeaders).toContain('x-tiergate-user');
  });

  it('is healthy', async () => {
    const { url } = await start();
    const answer = await fetch(`${url}/health`);
    expect([answer.status, await answer.json()]).toEqual([200, { status: 'healthy' }]);
  });

  it('waits before an answer and before each chunk, if told so', async () => {
    const { post } = await start({ answerDelayMs: 40, chunkDelayMs: 10 });
    const startedAt = performance.now();
    await events(await post('/v1/chat/completions', { ...chat, stream: true, max_tokens: 2 }));
    // Role, two words, the end, [DONE].
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(85);
  });

  it('ends a stream whose client left, and goes on serving', async () => {
    const { post } = await start({ chunkDelayMs: 5 });
    const leaving = new AbortController();
    const answer = await post('/v1/chat/completions', { ...chat, stream: true }, { signal: leaving.signal });
    const reader = answer.body?.getReader();
    await reader?.read();
    leaving.abort();
    await expect(reader?.read()).rejects.toThrow(/abort/i);
    expect((await post('/v1/chat/completions', chat)).status).toBe(200);
  });

  it('ends streams when it stops', async () => {
    const { server, post } = await start({ chunkDelayMs: 1000 });
    const answer = await post('/v1/chat/completions', { ...chat, stream: true });
    await server.stop();
    await expect(answer.text()).rejects.toThrow(/terminated/);
  });
});

describe("the sample model's other APIs", () => {
  const asked = { model: 'm', max_tokens: 2 };

  it('answers OpenAI Responses, in one piece and streamed, with usage in the last event', async () => {
    const { post } = await start();
    const usage = { input_tokens: 3, output_tokens: 2, total_tokens: 5 };
    const body = { model: 'm', input: 'one two three', max_output_tokens: 2 };
    const plain = await post('/llm/llama/v1/responses', body);
    expect(await plain.json()).toMatchObject({
      object: 'response',
      model: 'llama',
      status: 'incomplete',
      output: [{ role: 'assistant', content: [{ type: 'output_text', text: 'This is' }] }],
      usage,
    });
    const text = await (await post('/llm/llama/v1/responses', { ...body, stream: true })).text();
    expect(namesOf(text)).toEqual([
      'response.created',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.incomplete',
    ]);
    expect(dataOf(text).map(({ response }) => (response as { usage?: object } | undefined)?.usage)).toEqual([
      null,
      undefined,
      undefined,
      usage,
    ]);
  });

  it('answers Anthropic messages, streamed with what went in first and what came out last', async () => {
    const { post } = await start();
    const body = {
      ...asked,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'one two three' }] }],
    };
    const plain = await post('/llm/llama/v1/messages', body);
    expect(await plain.json()).toMatchObject({
      type: 'message',
      content: [{ type: 'text', text: 'This is' }],
      stop_reason: 'max_tokens',
      usage: { input_tokens: 3, output_tokens: 2 },
    });
    const text = await (await post('/llm/llama/v1/messages', { ...body, stream: true })).text();
    expect(namesOf(text)[0]).toBe('message_start');
    expect(namesOf(text).slice(-2)).toEqual(['message_delta', 'message_stop']);
    const [first, last] = [dataOf(text)[0], dataOf(text).at(-2)];
    expect(first).toMatchObject({ message: { usage: { input_tokens: 3, output_tokens: 1 } } });
    expect(last).toMatchObject({ usage: { output_tokens: 2 } });
  });

  it('misbehaves as the model name in the body asks for', async () => {
    const left: number[] = [];
    const { post } = await start({ onLeft: () => void left.push(1) });
    const as = (behaviour: string, more: object = {}, init: RequestInit = {}) =>
      post('/llm/llama/v1/chat/completions', { ...chat, model: `llama:${behaviour}`, ...more }, init);
    expect((await as('error')).status).toBe(500);
    expect(await (await as('no-usage')).json()).not.toHaveProperty('usage');
    const encoding = async (behaviour: string, accepted: string) => {
      const answer = await as(behaviour, {}, { headers: { 'accept-encoding': accepted } });
      expect(await answer.json()).toHaveProperty('usage');
      return answer.headers.get('content-encoding');
    };
    expect(await encoding('gzip', 'gzip')).toBe('gzip');
    expect(await encoding('gzip', 'identity')).toBeNull();
    expect(await encoding('gzip-always', 'identity')).toBe('gzip');
    expect(left).toEqual([]);
    await expect(as('hang', {}, { signal: AbortSignal.timeout(50) })).rejects.toThrow('timeout');
    await expect.poll(() => left).toEqual([1]);
  });

  it('tells usage in every event where it is asked to', async () => {
    const { post } = await start();
    const stream_options = { include_usage: true, continuous_usage_stats: true };
    const answer = await post('/v1/chat/completions', { ...chat, ...asked, stream: true, stream_options });
    const usages = dataOf(await answer.text()).map(
      (data) => (data['usage'] as { total_tokens?: number } | null)?.total_tokens,
    );
    expect(usages).toEqual([undefined, 4, 5, undefined, 5]);
  });
});

function namesOf(text: string): readonly string[] {
  return [...text.matchAll(/^event: (.*)$/gm)].map(([, name = '']) => name);
}

function dataOf(text: string): readonly Readonly<Record<string, unknown>>[] {
  return [...text.matchAll(/^data: (\{.*)$/gm)].map(
    ([, data = '']) => JSON.parse(data) as Readonly<Record<string, unknown>>,
  );
}
