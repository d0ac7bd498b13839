import protobuf from 'protobufjs/minimal.js';
import { expect } from 'vitest';
import { isDenied } from '../../src/check/outcome.ts';
import { createReadCheckRequest } from '../../src/envoy/check-request.ts';
import { createEncodeCheckResponse } from '../../src/envoy/check-response.ts';
import { below, createRandom, oneOf, type Random } from '../support/random.ts';
import type { EnvoyMessages } from './messages.ts';
import { sampleAllowed } from './sample.ts';
import { field } from './wire-bytes.ts';

const wanted = new Set(['authorization', 'x-api-key']);
const headerNames = [
  'authorization',
  'Authorization',
  'x-api-key',
  'x-tiergate-user',
  'X-MaaS-Group',
  'x_maas_tier',
  'cookie',
  'content-length',
  'x-envoy-auth-partial-body',
  'x-request-id',
  ':path',
  '',
];
const texts = [
  '',
  'a',
  '/llm/llama/v1',
  'Bearer abc',
  'é名',
  '\u{1f600}',
  '\0',
  'x'.repeat(300),
  '104',
  'false',
];
const metadataValues = ['text', 1.5, true, false, '', null, [1], { deep: [{}] }];

/** A CheckRequest that Envoy could send, as a plain object of its schema. */
function generate(random: Random) {
  const text = () => oneOf(random, texts);
  const entries = (names: readonly string[], value: () => unknown) =>
    Object.fromEntries(Array.from({ length: below(random, 6) }, () => [oneOf(random, names), value()]));
  const isRaw = random() < 0.3;
  const headers = entries(headerNames, text);
  const list = Object.entries(headers).map(([key, value]) => ({
    key,
    raw_value: Buffer.from(String(value)),
  }));
  return {
    attributes: {
      ...(random() < 0.8 && {
        source: {
          address: { socket_address: { address: oneOf(random, ['10.0.0.1', '::1']), port_value: 1 } },
        },
      }),
      request: {
        time: { seconds: below(random, 1e9) },
        http: {
          id: text(),
          method: oneOf(random, ['GET', 'POST', '']),
          path: text(),
          host: text(),
          size: below(random, 1e6) - 1,
          body: text(),
          ...(isRaw ? { header_map: { headers: list } } : { headers }),
        },
      },
      context_extensions: entries(['tiergate.model', 'tiergate.class', 'other', ''], text),
      ...(random() < 0.5 && {
        metadata_context: {
          filter_metadata: {
            'envoy.lb': entries(['model', 'stream'], () => oneOf(random, metadataValues)),
            tiergate: entries(['model', 'stream', 'max_tokens'], () => oneOf(random, metadataValues)),
          },
        },
      }),
    },
  };
}

type Generated = ReturnType<typeof generate>;

/** What must be read of it: the rules of the decoder, applied to the object instead of the bytes. */
function expected({ attributes }: Generated) {
  const { http } = attributes.request;
  const sent =
    'headers' in http
      ? Object.entries(http.headers)
      : http.header_map.headers.map(({ key, raw_value }) => [key, raw_value.toString()] as const);
  const headers = new Map<string, string>();
  const forged = new Set<string>();
  for (const [key, value] of sent) {
    const name = key.toLowerCase();
    if (/^x[-_](tiergate|maas)[-_]/.test(name)) forged.add(name);
    const earlier = headers.get(name);
    if (wanted.has(name))
      headers.set(name, earlier === undefined ? String(value) : `${earlier},${String(value)}`);
  }
  const metadata = Object.entries(attributes.metadata_context?.filter_metadata.tiergate ?? {}).filter(
    ([, value]) => typeof value !== 'object',
  );
  const lower = new Map(sent.map(([key, value]) => [key.toLowerCase(), String(value)] as const));
  const length = lower.get('content-length');
  const isWhole = lower.get('x-envoy-auth-partial-body') === 'false';
  const received = http.size > 0 && (isWhole || metadata.length > 0) ? http.size : undefined;
  return {
    id: http.id,
    method: http.method,
    path: http.path,
    host: http.host,
    headers,
    forgedHeaders: [...forged],
    contextExtensions: new Map(Object.entries(attributes.context_extensions)),
    metadata: new Map(metadata),
    bodyBytes: length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : received,
    body: isWhole ? Buffer.from(http.body) : undefined,
    source: attributes.source?.address.socket_address.address ?? '',
    deadlineAtMs: 1,
  };
}

/** Cuts, flips, doubles and lengthens bytes. */
function mutateBytes(random: Random, bytes: Buffer): Buffer {
  const at = below(random, bytes.length + 1);
  const end = Math.min(bytes.length, at + below(random, 40));
  const [before, part, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
  switch (below(random, 7)) {
    case 0:
      return before;
    case 1:
      return Buffer.concat([before, after]);
    case 2:
      return Buffer.concat([before, part, part, after]);
    case 3:
      return Buffer.concat([before, Buffer.of(below(random, 256)), after]);
    case 4:
      return Buffer.concat([before, Buffer.from('ffffffff0f', 'hex'), part, after]);
    case 5:
      return Buffer.concat([
        before,
        Buffer.alloc(below(random, 300), oneOf(random, [0x7b, 0x0a, 0x80, 0xff])),
        after,
      ]);
    default: {
      const flipped = Buffer.concat([before, part, after]);
      if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << below(random, 8));
      return flipped;
    }
  }
}

/** Somewhere in the message, whose lengths are made to fit again: other mutants hardly get past the first byte. */
function mutate(random: Random, message: Buffer): Buffer {
  const fields = fieldsOf(message);
  if (fields.length === 0 || random() < 0.1) return mutateBytes(random, message);
  const at = below(random, fields.length);
  const chosen = fields[at] as WireField;
  const changed = random() < 0.8 ? [{ ...chosen, content: mutate(random, chosen.content) }] : shuffled();
  return Buffer.concat([...fields.slice(0, at), ...changed, ...fields.slice(at + 1)].map(bytesOf));

  function shuffled(): readonly WireField[] {
    const another = oneOf(random, fields);
    return oneOf(random, [
      [],
      [chosen, chosen],
      [another, chosen],
      [{ ...chosen, number: below(random, 20) }],
    ]);
  }
}

interface WireField {
  readonly number: number;
  readonly content: Buffer;
}

const bytesOf = ({ number, content }: WireField) => field(number, content);

/** The fields of a message that has only such with a length; none of any other bytes. */
function fieldsOf(message: Buffer): readonly WireField[] {
  const reader = protobuf.Reader.create(message);
  const fields: WireField[] = [];
  try {
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      if ((tag & 7) === 2) fields.push({ number: tag >>> 3, content: Buffer.from(reader.bytes()) });
      else reader.skipType(tag & 7);
    }
  } catch {
    return [];
  }
  return fields;
}

const read = createReadCheckRequest({ headers: wanted });
const encode = createEncodeCheckResponse({ credentialHeaders: ['authorization'], realm: 'tiergate' });

/**
 * Reads generated CheckRequests, as they are and mutated: the first must be read exactly, the others refused or
 * read as plain data of the promised kind, and the answer to it must be a CheckResponse by Envoy's schema. Returns
 * how many of the mutated ones were refused.
 */
export function fuzzCheckRequest(messages: EnvoyMessages, count: number, seed: number): number {
  const random = createRandom(seed);
  let refused = 0;
  let whole: Buffer = Buffer.alloc(0);
  for (let at = 0; at < count; at += 1) {
    // Mutants are cheap, and there is more to be found with them.
    if (at % 20 === 0) {
      const generated = generate(random);
      whole = messages.encodeRequest(generated);
      expect(read(whole, 1)).toEqual(expected(generated));
      continue;
    }
    let message = whole;
    for (let times = 1 + below(random, 3); times > 0; times -= 1) message = mutate(random, message);
    try {
      if (!readsSafely(message)) refused += 1;
      else if (at % 100 === 1) answersSafely(messages, message);
    } catch (error) {
      throw new Error(`seed ${seed}, request ${at}: ${message.toString('hex')}`, { cause: error });
    }
  }
  return refused;
}

function readsSafely(message: Buffer): boolean {
  const input = read(message, 1);
  if (isDenied(input)) {
    if (input.reason !== 'request_invalid' || !(input.cause === undefined || input.cause instanceof Error)) {
      throw new Error('refused for another reason');
    }
    return false;
  }
  const { id, method, path, host, source, headers, contextExtensions, metadata, forgedHeaders } = input;
  const names = [...headers.keys()];
  const said = [id, method, path, host, source, ...headers.values(), ...contextExtensions.values()];
  if (!said.every((text) => typeof text === 'string')) throw new Error('not text');
  if (!names.every((name) => wanted.has(name))) throw new Error('a header that nobody reads');
  if (new Set(forgedHeaders).size !== forgedHeaders.length) throw new Error('a forgery twice');
  if (!forgedHeaders.every((name) => /^x[-_](tiergate|maas)[-_][!-~]*$/.test(name)))
    throw new Error('no forgery');
  for (const value of metadata.values()) if (typeof value === 'object') throw new Error('not a scalar');
  return true;
}

function answersSafely(messages: EnvoyMessages, message: Buffer): void {
  const input = read(message, 1);
  if (isDenied(input)) return;
  const subject = input.headers.get('authorization') ?? input.id;
  const outcome = { ...sampleAllowed, subject };
  const response = messages.decodeResponse(encode(outcome, input.forgedHeaders));
  expect(response).toMatchObject({ status: {}, dynamic_metadata: { tier: 'premium' } });
}
