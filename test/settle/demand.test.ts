import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readDemand } from '../../src/settle/demand.ts';
import { checkInput } from '../support/check-input.ts';

const chat = '/llm/llama/v1/chat/completions';
const bytes = (text: string) => new Uint8Array(Buffer.from(text));

/** The same request, told by Envoy's metadata and by its body. */
function tellings(fields: Readonly<Record<string, unknown>>, path = chat) {
  const { stream_options: options, ...rest } = fields;
  const include = (options as { readonly include_usage?: boolean } | undefined)?.include_usage;
  const words: Readonly<Record<string, unknown>> = {
    ...rest,
    ...(include !== undefined && { include_usage: include }),
  };
  const metadata = Object.fromEntries(
    Object.entries(words).filter(
      (entry): entry is [string, string | number | boolean] => typeof entry[1] !== 'object',
    ),
  );
  return {
    'by metadata': readDemand(checkInput({ path, metadata: { model: 'm', ...metadata } })),
    'by body': readDemand(checkInput({ path, body: bytes(JSON.stringify({ model: 'm', ...fields })) })),
  };
}

describe('what a request asks for', () => {
  const rows = [
    ['chat', chat, { max_tokens: 100 }, { maxTokens: 100, answers: 1 }],
    ['chat, the newer name', chat, { max_completion_tokens: 7 }, { maxTokens: 7 }],
    ['chat, both names', chat, { max_tokens: 1, max_completion_tokens: 700 }, { maxTokens: 700 }],
    ['several answers', chat, { max_tokens: 10, n: 4 }, { maxTokens: 10, answers: 4 }],
    ['several answers of any length', chat, { n: 4 }, { maxTokens: undefined, answers: 4 }],
    ['completions', '/v1/completions', { max_tokens: 16, best_of: 3, n: 2 }, { maxTokens: 16, answers: 3 }],
    ['Responses', '/a/b/v1/responses', { max_output_tokens: 50 }, { maxTokens: 50 }],
    ['Anthropic messages', '/a/b/v1/messages', { max_tokens: 1024 }, { maxTokens: 1024 }],
    ['embeddings', '/a/b/v1/embeddings', { input: 'x' }, { maxTokens: 0 }],
    ['counting', '/a/b/v1/messages/count_tokens', {}, { maxTokens: 0 }],
    ['nothing said', chat, {}, { maxTokens: undefined, answers: 1 }],
    ['the path with a query', '/a/b/v1/embeddings?x=/', {}, { maxTokens: 0 }],
    ['a number as text', chat, { max_tokens: '100', n: '2' }, { maxTokens: 100, answers: 2 }],
    ['a number as Python has it', chat, { max_tokens: '1_000', n: '1_0' }, { maxTokens: 1000, answers: 10 }],
    ['a fraction', chat, { max_tokens: 99.5 }, { maxTokens: 100 }],
    ['as many as may be', chat, { max_tokens: -1 }, { maxTokens: undefined }],
    ['none', chat, { max_tokens: 0 }, { maxTokens: undefined }],
    ['no number', chat, { max_tokens: 'many' }, { maxTokens: undefined }],
    [
      'one limit and one that is none',
      chat,
      { max_tokens: 1, max_completion_tokens: -1 },
      { maxTokens: 1e9 },
    ],
    ['1e308', chat, { max_tokens: 1e308, n: 1e308 }, { maxTokens: 1e9, answers: 1e9 }],
    ['a negative number of answers', chat, { max_tokens: 5, n: -3 }, { maxTokens: 5, answers: 1 }],
  ] as const;
  it.each(rows)('%s', (_name, path, fields, expected) => {
    const { 'by metadata': byMetadata, 'by body': byBody } = tellings(fields, path);
    expect(byMetadata).toMatchObject(expected);
    expect(byBody).toEqual(byMetadata);
  });

  it.each([
    ['no stream', chat, {}, { isStream: false, includesUsage: undefined }],
    ['a stream', chat, { stream: true }, { isStream: true, includesUsage: false }],
    [
      'a stream that tells its usage',
      chat,
      { stream: true, stream_options: { include_usage: true } },
      { isStream: true, includesUsage: true },
    ],
    [
      'a stream that is told not to',
      chat,
      { stream: true, stream_options: { include_usage: false } },
      { isStream: true, includesUsage: false },
    ],
    ['a stream as a word', chat, { stream: 'Yes' }, { isStream: true, includesUsage: false }],
    ['a stream perhaps', chat, { stream: 'perhaps' }, { isStream: true, includesUsage: false }],
    ['a stream of Responses', '/v1/responses', { stream: true }, { isStream: true, includesUsage: true }],
    ['a stream of messages', '/v1/messages', { stream: true }, { isStream: true, includesUsage: true }],
  ] as const)('%s', (_name, path, fields, expected) => {
    const { 'by metadata': byMetadata, 'by body': byBody } = tellings(fields, path);
    expect(byMetadata).toMatchObject(expected);
    expect(byBody).toEqual(byMetadata);
  });

  it('may be a stream without usage where it can not be read', () => {
    const demands = [
      readDemand(checkInput({ metadata: { unreadable: true } })),
      readDemand(checkInput({ metadata: { unreadable: 'true' } })),
      readDemand(checkInput({ body: bytes('{"stream":true,"x":NaN}') })),
      readDemand(checkInput({ body: bytes(`{"stream":true,"x":"${'x'.repeat(1024 * 1024)}"}`) })),
    ];
    for (const demand of demands) expect(demand).toMatchObject({ isStream: true, includesUsage: false });
    expect(readDemand(checkInput({ body: bytes('') })).isStream).toBe(false);
  });

  it('has a prompt of a token for four bytes, if anybody knows how many there are', () => {
    expect(readDemand(checkInput({ bodyBytes: 401 })).promptTokens).toBe(101);
    expect(readDemand(checkInput({ bodyBytes: undefined })).promptTokens).toBeUndefined();
    expect(readDemand(checkInput({ bodyBytes: Number.MAX_SAFE_INTEGER })).promptTokens).toBe(1e9);
  });

  it('is nothing where nothing is sent', () => {
    expect(readDemand(checkInput({ method: 'GET' }))).toMatchObject({ promptTokens: 0, maxTokens: 0 });
  });

  it('believes what Envoy found before what the body says', () => {
    const demand = readDemand(checkInput({ metadata: { max_tokens: 5 }, body: bytes('{"max_tokens":1}') }));
    expect(demand.maxTokens).toBe(5);
  });

  it('is unknown in a body that is none, too long, or no object', () => {
    const long = `{"max_tokens":1,"x":"${'x'.repeat(1024 * 1024)}"}`;
    for (const body of ['', '{', '[1]', 'null', '"max_tokens"', '{"__proto__":{"max_tokens":1}}', long]) {
      expect(readDemand(checkInput({ body: bytes(body) })).maxTokens).toBeUndefined();
    }
  });
});

describe('whatever a client says', () => {
  const anything = fc.oneof(
    fc.integer(),
    fc.double(),
    fc.string(),
    fc.boolean(),
    fc.constantFrom(1e308, -1, 0, '1e5', ' 7 ', '0x10', '-0', 'Infinity'),
    fc.constant(null),
    fc.object({ maxDepth: 1 }),
  );
  const body = fc.record(
    {
      max_tokens: anything,
      max_completion_tokens: anything,
      max_output_tokens: anything,
      n: anything,
      best_of: anything,
      stream: anything,
      stream_options: fc.oneof(fc.record({ include_usage: anything }), anything),
    },
    { requiredKeys: [] },
  );

  it('a reservation is a number that can be counted with, and covers every number said', () => {
    fc.assert(
      fc.property(body, (fields) => {
        const text = JSON.stringify(fields);
        const sent = JSON.parse(text) as Readonly<Record<string, unknown>>;
        const { maxTokens, answers } = readDemand(checkInput({ body: bytes(text) }));
        expect(Number.isSafeInteger(answers) && answers >= 1).toBe(true);
        expect(Number.isSafeInteger((maxTokens ?? 0) * 2)).toBe(true);
        for (const name of ['max_tokens', 'max_completion_tokens', 'max_output_tokens']) {
          const said = sent[name];
          if (typeof said === 'number' && said > 0) {
            expect(maxTokens).toBeGreaterThanOrEqual(Math.min(said, 1e9));
          }
        }
        const { n } = sent;
        if (typeof n === 'number' && n > 0) expect(answers).toBeGreaterThanOrEqual(Math.min(n, 1e9));
        if (sent['stream'] === true)
          expect(readDemand(checkInput({ body: bytes(text) })).isStream).toBe(true);
      }),
    );
  });

  it('any bytes are read', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (anyBytes) => {
        expect(readDemand(checkInput({ body: anyBytes })).answers).toBeGreaterThanOrEqual(1);
      }),
    );
  });
});
