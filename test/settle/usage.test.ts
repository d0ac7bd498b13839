import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Usage } from '../../src/settle/usage.ts';
import { createUsageReader, type UsageReaderOptions } from '../../src/settle/usage-in-body.ts';
import { usageFromCounts } from '../../src/settle/usage.ts';

const json = { contentType: 'application/json', contentEncoding: undefined };
const events = { contentType: 'text/event-stream; charset=utf-8', contentEncoding: undefined };

function read(
  head: typeof json | typeof events,
  chunks: readonly (string | Uint8Array)[],
  options?: UsageReaderOptions,
): Usage | undefined {
  const reader = createUsageReader(head, options);
  for (const chunk of chunks) reader?.write(Buffer.from(chunk as string));
  return reader?.usage();
}

const event = (data: object, name?: string) =>
  `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;
const openai = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
const told = { inputTokens: 7, outputTokens: 3, totalTokens: 10 };

const streams: Readonly<Record<string, readonly [stream: string, usage: Usage | undefined]>> = {
  'chat with usage': [
    `${event({ choices: [{ delta: { content: 'Grüße 👋 "usage"' } }], usage: null })}${event({ choices: [], usage: openai })}data: [DONE]\n\n`,
    told,
  ],
  'chat without usage': [`${event({ choices: [{}] })}data: [DONE]\n\n`, undefined],
  'chat with usage in every event': [
    `${event({ usage: { prompt_tokens: 7, completion_tokens: 1, total_tokens: 8 } })}${event({ usage: openai })}`,
    told,
  ],
  'several answers, with usage in every event': [
    `${event({ choices: [{ index: 0 }], usage: openai })}${event({ choices: [{ index: 1 }], usage: openai })}${event({ choices: [], usage: { ...openai, completion_tokens: 6, total_tokens: 13 } })}`,
    { inputTokens: 7, outputTokens: 6, totalTokens: 13 },
  ],
  'several answers, with usage in every event, cut off': [
    `${event({ choices: [{ index: 0 }], usage: openai })}${event({ choices: [{ index: 1 }], usage: openai })}${event({ choices: [{ index: 0 }], usage: openai })}`,
    undefined,
  ],
  Responses: [
    `${event({ type: 'response.created', response: { usage: null } }, 'response.created')}${event({ type: 'response.completed', response: { usage: { input_tokens: 7, output_tokens: 3, total_tokens: 10 } } }, 'response.completed')}`,
    told,
  ],
  'Anthropic messages': [
    `${event({ type: 'message_start', message: { usage: { input_tokens: 7, output_tokens: 1 } } }, 'message_start')}${event({ type: 'ping' }, 'ping')}${event({ type: 'message_delta', usage: { output_tokens: 3 } }, 'message_delta')}${event({ type: 'message_stop' }, 'message_stop')}`,
    { inputTokens: 7, outputTokens: 3 },
  ],
  'Anthropic messages, cut off': [
    event({ type: 'message_start', message: { usage: { input_tokens: 7, output_tokens: 1 } } }),
    { inputTokens: 7 },
  ],
  'lines that end in CR LF, comments, no space': [
    `: hello\r\n\r\ndata:${JSON.stringify({ usage: openai })}\r\n\r\n`,
    told,
  ],
  'data in two lines': [`data: {"usage":\ndata: ${JSON.stringify(openai)}}\n\n`, told],
  'an event that has not ended': [`data: ${JSON.stringify({ usage: openai })}\n`, undefined],
  garbage: ['data: {"usage": \n\ndata: "usage"\n\ndata: [{"usage":1}]\n\ndata: {"usage":7}\n\n', undefined],
};

describe('usage in an answer', () => {
  it('holds nothing of the messages that its pieces came in', () => {
    const reader = createUsageReader(json);
    const message = Buffer.from(JSON.stringify({ usage: openai }));
    reader?.write(message.subarray(0, 20));
    reader?.write(message.subarray(20));
    message.fill(0);
    expect(reader?.usage()).toEqual(told);
  });

  it.each([
    ['chat, completions', { usage: openai }, told],
    ['embeddings', { usage: { prompt_tokens: 5, total_tokens: 5 } }, { inputTokens: 5, totalTokens: 5 }],
    ['Responses', { usage: { input_tokens: 7, output_tokens: 3, total_tokens: 10 } }, told],
    [
      'Anthropic messages',
      { usage: { input_tokens: 7, output_tokens: 3 } },
      { inputTokens: 7, outputTokens: 3 },
    ],
    [
      'what a cache took and gave, where it is not in the input',
      {
        usage: {
          input_tokens: 7,
          output_tokens: 3,
          cache_creation_input_tokens: 100,
          cache_read_input_tokens: 20,
        },
      },
      { inputTokens: 127, outputTokens: 3 },
    ],
    [
      'what a cache gave, where it is in the input',
      { usage: { ...openai, cache_read_input_tokens: 20 } },
      told,
    ],
    ['an error', { error: {} }, undefined],
    ['null', { usage: null }, undefined],
    [
      'numbers that are none',
      { usage: { total_tokens: -1, prompt_tokens: '7', completion_tokens: null } },
      undefined,
    ],
    ['numbers beyond all bounds', { usage: { total_tokens: 1e300 } }, { totalTokens: 1e9 }],
  ])('of %s', (_name, body, usage) => {
    expect(read(json, [JSON.stringify(body)])).toEqual(usage);
  });

  it.each(Object.entries(streams))('streamed: %s', (_name, [stream, usage]) => {
    expect(read(events, [stream])).toEqual(usage);
  });

  it('is the same wherever its bytes are cut', () => {
    const cuts = fc.array(fc.nat(600), { maxLength: 12 });
    fc.assert(
      fc.property(fc.constantFrom(...Object.values(streams)), cuts, ([stream, usage], at) => {
        const bytes = Buffer.from(stream);
        const places = [
          0,
          ...at.map((place) => place % bytes.length).toSorted((a, b) => a - b),
          bytes.length,
        ];
        const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
        expect(read(events, chunks)).toEqual(usage);
      }),
    );
  });

  it('is found behind an event that is longer than what is held, and not in it', () => {
    const options = { maxBytes: 200 };
    const long = event({ x: 'x'.repeat(500), usage: { total_tokens: 99 } });
    expect(read(events, [long, event({ usage: openai })], options)).toEqual(told);
    const cut = [long.slice(0, 300), long.slice(300, 310), long.slice(310)];
    expect(read(events, cut, options)).toBeUndefined();
    expect(read(events, [...cut, event({ usage: openai })], options)).toEqual(told);
    const lines = `${'data: 12345678901234567890\n'.repeat(40)}data: {"usage":{"total_tokens":1}}\n\n`;
    expect(read(events, [lines], options)).toBeUndefined();
  });

  it('is not looked for in JSON that is longer than what is held', () => {
    const body = JSON.stringify({ data: 'x'.repeat(300), usage: openai });
    expect(read(json, [body.slice(0, 150), body.slice(150)], { maxBytes: 200 })).toBeUndefined();
    expect(read(json, [body.slice(0, 150), body.slice(150)], { maxBytes: 2000 })).toEqual(told);
  });

  it('is not looked for in what is compressed or something else', () => {
    for (const contentEncoding of ['gzip', 'br', 'zstd']) {
      expect(createUsageReader({ ...json, contentEncoding })).toBeUndefined();
    }
    expect(createUsageReader({ ...json, contentEncoding: 'Identity' })).toBeDefined();
    for (const contentType of ['text/plain', '', undefined]) {
      expect(createUsageReader({ ...json, contentType })).toBeUndefined();
    }
    expect(createUsageReader({ ...json, contentType: 'application/problem+json' })).toBeDefined();
  });

  it('never breaks on any bytes', () => {
    fc.assert(
      fc.property(fc.constantFrom(json, events), fc.array(fc.uint8Array()), (head, chunks) => {
        expect(read(head, chunks)).toBeUndefined();
      }),
    );
  });
});

describe('usage by its counts', () => {
  it('takes whole numbers, also as text', () => {
    const counts: Readonly<Record<string, unknown>> = {
      prompt_tokens: '5',
      completion_tokens: 2.5,
      total_tokens: Number.NaN,
    };
    expect(usageFromCounts((name) => counts[name])).toEqual({ inputTokens: 5, outputTokens: 3 });
    for (const odd of ['', '-1', '1e3', '7 ', true, null, -1, Number.NEGATIVE_INFINITY]) {
      expect(usageFromCounts(() => odd)).toBeUndefined();
    }
  });
});
