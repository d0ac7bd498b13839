import { field } from '../envoy/wire-bytes.ts';
import { below, oneOf, type Random } from '../support/random.ts';
import { type Door, everyModel, faultyModel, type Person } from './fuzz-world.ts';

/** What may stand in a path, and what should never get through. */
const pieces = [
  '/',
  '//',
  '/./',
  '/../',
  '/..',
  '/.',
  ';',
  ';a=b',
  '\\',
  '%2f',
  '%2F',
  '%2e',
  '%2E%2e',
  '%5c',
  '%00',
  '%25',
  '%',
  '%zz',
  '%c3%a9',
  'é',
  ' ',
  '\t',
  '\0',
  '\r\n',
  '#',
  '?',
  '?model=llm/qwen-large',
  '{',
  '|',
  '*',
  '~',
  'llm',
  'llama',
  'qwen-large',
  'v1',
  'models',
  'maas-api',
  'me',
  'LLM',
  'x'.repeat(300),
  'chat/completions',
];

const strangeTokens = [
  '',
  'a.b.c',
  'opaque',
  'x y',
  'é',
  ',',
  'a'.repeat(20_000),
  'e30.e30.e30',
  'bnVsbA.bnVsbA.x',
];

const models = [
  ...everyModel,
  faultyModel,
  'llm/none',
  'LLM/llama',
  'v1/llama',
  '/',
  'llm/',
  'llm/a/b',
  'constructor/x',
];

/** A CheckRequest that an Envoy could send for what a client, kind or not, has sent to it. */
export function generateRequest(random: Random, door: Door, people: readonly Person[]): Buffer {
  const often = (share: number) => random() < share;
  const model = often(0.4) ? everyModel[0] : oneOf(random, often(0.7) ? everyModel : models);

  function path(): string {
    const whole = often(0.85)
      ? `/${model}/v1/chat/completions`
      : oneOf(random, [
          '/maas-api/v1/tokens',
          '/v1/models',
          '/v1/models-x',
          '/me',
          '/me/x',
          '/',
          '',
          'llm/llama',
          '*',
        ]);
    if (often(0.8)) return whole;
    const at = below(random, whole.length + 1);
    const inserted = Array.from({ length: 1 + below(random, 3) }, () => oneOf(random, pieces)).join('');
    return whole.slice(0, at) + inserted + whole.slice(at + below(random, 3));
  }

  function token(): string {
    if (often(0.65)) return people[below(random, 3)]?.token ?? '';
    if (often(0.75)) return oneOf(random, people).token;
    const strange = oneOf(random, strangeTokens);
    if (often(0.5)) return strange;
    const good = oneOf(random, people).token;
    const at = below(random, good.length);
    return good.slice(0, at) + strange + good.slice(at + 1);
  }

  const headers: (readonly [name: string, value: string])[] = [
    [':method', 'POST'],
    ['x-request-id', 'r'],
  ];
  if (often(0.93)) {
    const name = oneOf(random, door.credentialHeaders);
    const scheme = often(0.95) ? 'Bearer ' : oneOf(random, ['bearer  ', 'Basic ', '', 'Bearer', 'Bearer\t']);
    headers.push([
      often(0.9) ? name : name.toUpperCase(),
      name === 'authorization' ? scheme + token() : token(),
    ]);
  }
  if (often(0.08))
    headers.push([oneOf(random, ['authorization', 'x-api-key', 'Authorization']), `Bearer ${token()}`]);
  if (door.header !== undefined && often(0.9)) headers.push([door.header, model]);
  if (often(0.3)) {
    const forged = [
      'x-tiergate-user',
      'X-Tiergate-Model',
      'x-maas-group',
      'x_tiergate_tier',
      'x-maas-anything',
      'x-tiergate-',
    ];
    for (let times = 1 + below(random, 4); times > 0; times -= 1)
      headers.push([oneOf(random, forged), oneOf(random, ['admin', 'llm/qwen-large', '', 'é'])]);
  }
  if (often(0.1)) headers.push(['origin', 'https://a.example'], ['access-control-request-method', 'POST']);
  if (often(0.1))
    headers.push([oneOf(random, ['cookie', '', ':path', 'x\0', 'é']), 'x'.repeat(below(random, 2000))]);

  const asList = often(0.3);
  const encoded = headers.map(([name, value]) =>
    asList
      ? field(13, field(1, field(1, name), field(often(0.5) ? 3 : 2, value)))
      : field(3, field(1, name), field(2, value)),
  );
  const id = often(0.3) ? oneOf(random, ['', 'same', 'again']) : String(random());
  const http = [
    field(1, id),
    field(2, often(0.9) ? 'POST' : oneOf(random, ['GET', 'OPTIONS', ''])),
    field(4, path()),
    field(5, 'gateway.example'),
    ...encoded,
    ...(often(0.1) ? [field(11, JSON.stringify({ model: oneOf(random, models) }))] : []),
  ];
  const extension = (key: string, value: string) => field(10, field(1, key), field(2, value));
  const [namespace = '', name = ''] = model.split('/');
  const context = [
    ...(often(door.from === 'context' ? 0.9 : 0.1)
      ? [extension('tiergate.namespace', namespace), extension('tiergate.model', name)]
      : []),
    ...(often(0.05)
      ? [extension('tiergate.class', oneOf(random, ['public', 'identityOnly', 'PUBLIC', '']))]
      : []),
    ...(often(0.05) ? [extension('other', 'x')] : []),
  ];
  const value = often(0.9)
    ? field(3, model)
    : oneOf(random, [Buffer.from('2001', 'hex'), field(6), field(5)]);
  const written = field(1, field(1, 'model'), field(2, value));
  const metadata = often(door.from === 'metadata' ? 0.9 : 0.1)
    ? [field(11, field(1, field(1, often(0.9) ? 'tiergate' : 'envoy.lb'), field(2, written)))]
    : [];
  const address = oneOf(random, ['10.0.0.1', '10.0.0.2', '::1', '', 'é']);
  return field(
    1,
    field(1, field(1, field(1, field(2, address)))),
    field(4, field(2, ...http)),
    ...context,
    ...metadata,
  );
}

/** Cuts, flips, doubles and lengthens bytes, anywhere or inside a field whose lengths are made to fit again. */
export function mutateMessage(random: Random, message: Buffer): Buffer {
  const parts = random() < 0.95 ? partsOf(message) : [];
  if (parts.length === 0) return mutateBytes(random, message);
  const at = below(random, parts.length);
  const chosen = oneOf(random, parts);
  const inner = parts[at];
  if (inner === undefined) return message;
  const replaced: readonly Part[] =
    random() < 0.8
      ? [{ ...inner, content: mutateMessage(random, inner.content) }]
      : oneOf<readonly Part[]>(random, [
          [],
          [inner, inner],
          [chosen, inner],
          [{ ...inner, number: 1 + below(random, 16) }],
          [{ ...inner, content: chosen.content }],
        ]);
  return Buffer.concat(
    [...parts.slice(0, at), ...replaced, ...parts.slice(at + 1)].map(({ number, content }) =>
      field(number, content),
    ),
  );
}

interface Part {
  readonly number: number;
  readonly content: Buffer;
}

/** Fields of a message made of nothing but fields with a length below 2^28; none of any other bytes. */
function partsOf(message: Buffer): readonly Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < message.length; ) {
    const tag = message[at] ?? 0;
    if ((tag & 7) !== 2 || tag >= 0x80 || tag < 8) return [];
    let length = 0;
    let begin = at + 1;
    for (let shift = 0; ; shift += 7, begin += 1) {
      const byte = message[begin];
      if (byte === undefined || shift > 21) return [];
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    begin += 1;
    if (begin + length > message.length) return [];
    parts.push({ number: tag >>> 3, content: message.subarray(begin, begin + length) });
    at = begin + length;
  }
  return parts;
}

function mutateBytes(random: Random, bytes: Buffer): Buffer {
  const at = below(random, bytes.length + 1);
  const end = Math.min(bytes.length, at + below(random, 12));
  const [before, part, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
  switch (below(random, 6)) {
    case 0:
      return Buffer.concat([before, after]);
    case 1:
      return Buffer.concat([before, part, part, after]);
    case 2:
      return Buffer.concat([before, Buffer.of(below(random, 256)), after]);
    case 3:
      return Buffer.concat([before, Buffer.from(oneOf(random, pieces)), after]);
    case 4:
      return before;
    default: {
      const flipped = Buffer.from(bytes);
      if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << below(random, 8));
      return flipped;
    }
  }
}
