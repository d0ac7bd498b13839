import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WindowLimit } from '../../src/policy/policy.ts';
import { createModelServer, type ModelServer } from '../../src/sandbox/model-server.ts';
import type { Envoy } from '../real/envoy.ts';
import { channels, startDeployedGateway } from './deployed-gateway.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { type Asked, ask, connectCounter, endsTold, type Heard, type TokenCounter } from './token-world.ts';

/**
 * README's table of what requests cost, row by row, through a real Envoy with each of the examples in deploy/, an
 * authorizer process and Redis, where the counter is looked at.
 */
const tokensPerHour: WindowLimit = {
  scope: '*',
  unit: 'tokens',
  windowMs: 3_600_000,
  limit: 1000,
  mode: 'enforce',
};
const policy = `
- {name: premium, level: 10, groups: [], limits: {requests: unlimited, tokens: [{limit: 1000, window: 1h}]}}
- {name: enterprise, level: 20, groups: [], streamWithoutUsage: deny, limits: {requests: unlimited, tokens: [{limit: 1000, window: 1h}]}}
`;

interface Case extends Asked {
  /** What the client must have got of it. Default: an answer to the end. */
  readonly heard?: (heard: Heard) => boolean;
}

const whole = ({ status, isWhole }: Heard) => status === 200 && isWhole;
const left = ({ status, isWhole, partsAtMs }: Heard) => status === 200 && !isWhole && partsAtMs.length >= 2;
const messages = [{ role: 'user', content: 'one two three' }];
const chat = { model: 'llama', messages, max_tokens: 100 };
const stream = { ...chat, stream: true };
const withUsage = { ...stream, stream_options: { include_usage: true } };
const messagesPath = '/llm/llama/v1/messages';

const cases: Readonly<Record<string, Case>> = {
  'a chat completion in one piece': { body: chat },
  'streamed, with `stream_options.include_usage`': { body: withUsage },
  'streamed, without it': { body: stream },
  'streamed with it, the client leaves after two chunks': {
    body: withUsage,
    leavesAfterParts: 2,
    heard: left,
  },
  'the model answers 500': {
    body: { ...chat, model: 'llama:error' },
    heard: ({ status }) => status === 500,
  },
  'the model never answers, the client leaves': {
    body: { ...chat, model: 'llama:hang' },
    leavesAfterMs: 600,
    heard: ({ status }) => status === undefined,
  },
  'the client accepts gzip': {
    body: { ...chat, model: 'llama:gzip' },
    headers: { 'accept-encoding': 'gzip' },
    heard: (heard) => whole(heard) && heard.headers['content-encoding'] === undefined,
  },
  'the model compresses unasked': {
    body: { ...chat, model: 'llama:gzip-always' },
    heard: (heard) => whole(heard) && gunzipSync(heard.bytes).includes('"usage"'),
  },
  'a completion in one piece': {
    path: '/llm/llama/v1/completions',
    body: { model: 'llama', prompt: 'one two three', max_tokens: 100 },
  },
  embeddings: { path: '/llm/llama/v1/embeddings', body: { model: 'llama', input: 'one two three' } },
  'OpenAI Responses, in one piece': {
    path: '/llm/llama/v1/responses',
    body: { model: 'llama', input: 'one two three', max_output_tokens: 100 },
  },
  'OpenAI Responses, streamed': {
    path: '/llm/llama/v1/responses',
    body: { model: 'llama', input: 'one two three', max_output_tokens: 100, stream: true },
  },
  'Anthropic messages, in one piece': { path: messagesPath, body: chat },
  'Anthropic messages, streamed': { path: messagesPath, body: stream },
  'Anthropic messages, streamed, the client leaves after two chunks': {
    path: messagesPath,
    body: stream,
    leavesAfterParts: 2,
    heard: left,
  },
};

interface Row {
  readonly name: string;
  readonly before: number;
  readonly afterCheck: number;
  readonly settled: number;
}

/** The rows of README's table. */
async function readTable(): Promise<readonly Row[]> {
  const text = await readFile(join(import.meta.dirname, '../../README.md'), 'utf8');
  return [...text.matchAll(/^\| ([^|]+?) \| (\d+) \| (\d+) \| (\d+) \|$/gm)].map(
    ([, name = '', before, afterCheck, settled]) => ({
      name,
      before: Number(before),
      afterCheck: Number(afterCheck),
      settled: Number(settled),
    }),
  );
}

let installation: Installation;
let authorizer: Authorizer;
let counter: TokenCounter;
let model: ModelServer;
let modelPort: number;
let onRequest: () => void = () => undefined;

beforeAll(async () => {
  installation = await startInstallation();
  authorizer = await installation.startAuthorizer({ policy });
  counter = await connectCounter(installation, tokensPerHour);
  // Slow enough for a look at the counters before the answer begins, and for a client that leaves within it.
  model = createModelServer({ onRequest: () => onRequest(), answerDelayMs: 200, chunkDelayMs: 20 });
  ({ port: modelPort } = await model.start());
});

afterAll(async () => {
  await counter.close();
  await installation.stop();
  await model.stop();
});

const rows = await readTable();

it('README tells of each of these, and of nothing else', () => {
  expect(rows.map(({ name }) => name)).toEqual(Object.keys(cases));
});

describe.each(channels)('a request that is charged as README says, settled by %s', (channel) => {
  let gateway: Envoy;
  beforeAll(async () => {
    gateway = await startDeployedGateway(channel, { authorizer: authorizer.port, model: modelPort });
  });
  afterAll(() => gateway.stop());

  it.each(rows)('$name: $before, $afterCheck, $settled', async ({ name, before, afterCheck, settled }) => {
    const { heard: isHeard = whole, ...asked } = cases[name] ?? { body: {} };
    const user = `${channel} ${name}`;
    const token = await installation.mint(user, 'premium');
    expect(await counter.charged(user)).toBe(before);
    const toldBefore = await endsTold(authorizer);

    const reached = new Promise<void>((resolve) => (onRequest = resolve));
    const answer = ask(gateway.port, token, asked);
    await reached;
    expect(await counter.charged(user)).toBe(afterCheck);

    const heard = await answer;
    expect(isHeard(heard), JSON.stringify({ ...heard, bytes: heard.bytes.toString() })).toBe(true);
    if (heard.status === 200) {
      expect(heard.headers['x-ratelimit-remaining-tokens']).toBe(String(1000 - afterCheck));
    }
    // An answer that never began is not copied to anybody: its end is not told, which leaves it charged.
    const isTold = channel !== 'ext-proc' || heard.status !== undefined;
    if (isTold) await expect.poll(() => endsTold(authorizer), { timeout: 10_000 }).toBe(toldBefore + 1);
    else await sleep(1500);
    expect(await counter.charged(user)).toBe(settled);
  });

  it('a stream that hides its words in what Envoy can not read is refused where it must tell its usage', async () => {
    const token = await installation.mint(`${channel} hides`, 'enterprise');
    const hidden = '{"model":"llama","stream":true,"x":NaN,"messages":[]}';
    for (const body of [hidden, Buffer.from(hidden.replace('NaN', '1'), 'utf16le')]) {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const url = `http://127.0.0.1:${gateway.port}/llm/llama/v1/chat/completions`;
      const answer = await fetch(url, { method: 'POST', headers, body });
      expect([answer.status, answer.headers.get('x-tiergate-reason')]).toEqual([400, 'usage_required']);
    }
  });
});
