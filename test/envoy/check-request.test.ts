import { beforeAll, describe, expect, it } from 'vitest';
import { isDenied } from '../../src/check/outcome.ts';
import { type CheckRequestInput, createReadCheckRequest } from '../../src/envoy/check-request.ts';
import { type EnvoyMessages, loadEnvoyMessages } from './messages.ts';
import { sampleRequest, sampleToken } from './sample.ts';
import { attributesMessage, field, httpMessage, varint } from './wire-bytes.ts';

const read = createReadCheckRequest({ headers: new Set(['authorization', 'x-api-key', 'x-maas-model']) });

let messages: EnvoyMessages;
beforeAll(async () => {
  messages = await loadEnvoyMessages();
});

function readAllowed(message: Buffer): CheckRequestInput {
  const input = read(message, Number.POSITIVE_INFINITY);
  if (isDenied(input)) throw new Error(`${input.detail} ${String(input.cause)}`);
  return input;
}

function requestOf(http: object, attributes: object = {}): Buffer {
  return messages.encodeRequest({ attributes: { request: { http }, ...attributes } });
}

const refused = { denied: true, reason: 'request_invalid' };

describe('a CheckRequest', () => {
  it('says what stages read, and nothing of the rest', () => {
    const input = read(messages.encodeRequest(sampleRequest()), 1234);
    expect(input).toEqual({
      id: '12345678901234567890',
      method: 'POST',
      path: '/llm/llama/v1/chat/completions',
      host: 'maas.example.com',
      headers: new Map([['authorization', `Bearer ${sampleToken}`]]),
      forgedHeaders: [],
      contextExtensions: new Map(),
      metadata: new Map(),
      bodyBytes: 312,
      source: '10.128.2.17',
      deadlineAtMs: 1234,
    });
  });

  it('says how long its body is, where that is known for certain', () => {
    const bytes = (http: object, more: object = {}) => readAllowed(requestOf(http, more)).bodyBytes;
    const found = { metadata_context: { filter_metadata: { tiergate: { max_tokens: 5 } } } };
    expect(bytes({ headers: { 'content-length': '104' }, size: 3 })).toBe(104);
    expect(bytes({ size: 104 }, found)).toBe(104);
    expect(bytes({ size: 104, headers: { 'x-envoy-auth-partial-body': 'false' } })).toBe(104);
    // What has come so far, of what nobody has waited for.
    expect(bytes({ size: 104 })).toBeUndefined();
    expect(bytes({ size: 104, headers: { 'x-envoy-auth-partial-body': 'true' } })).toBeUndefined();
    expect(bytes({ size: -1 }, found)).toBeUndefined();
    for (const odd of ['', '-1', '1e3', '1,1', '9'.repeat(16)]) {
      expect(bytes({ headers: { 'content-length': odd } })).toBeUndefined();
    }
  });

  it('hands on its body, as text or as bytes, only if it is whole', () => {
    const body = (http: object) => readAllowed(requestOf(http)).body?.toString();
    const whole = { headers: { 'x-envoy-auth-partial-body': 'false' } };
    expect(body({ body: '{"a":"ü"}', ...whole })).toBe('{"a":"ü"}');
    expect(body({ raw_body: Buffer.from('{"a":"ü"}'), ...whole })).toBe('{"a":"ü"}');
    expect(body({ body: '{"a"', headers: { 'x-envoy-auth-partial-body': 'true' } })).toBeUndefined();
    // A client's own word beside Envoy's, in raw headers.
    const key = 'x-envoy-auth-partial-body';
    const headers = [
      { key, raw_value: Buffer.from('false') },
      { key, raw_value: Buffer.from('true') },
    ];
    expect(body({ body: '{"a"', header_map: { headers } })).toBeUndefined();
    expect(body({ body: '{}' })).toBeUndefined();
  });

  it('without attributes, request or http is refused', () => {
    for (const empty of [{}, { attributes: {} }, { attributes: { request: {} } }]) {
      expect(read(messages.encodeRequest(empty), 0)).toMatchObject(refused);
    }
    expect(readAllowed(requestOf({}))).toMatchObject({ path: '', method: '', id: '', host: '', source: '' });
  });

  it('hands on what the route says of itself', () => {
    const context_extensions = { 'tiergate.class': 'public', other: '' };
    expect(readAllowed(requestOf({}, { context_extensions })).contextExtensions).toEqual(
      new Map(Object.entries(context_extensions)),
    );
  });

  it('has no source address where its peer came over a pipe', () => {
    const source = { address: { pipe: { path: '/run/envoy.sock' } } };
    expect(readAllowed(requestOf({}, { source })).source).toBe('');
  });
});

describe('headers', () => {
  it('are the same as a map and as a list of raw bytes', () => {
    const headers = { authorization: 'Bearer abc', 'X-API-Key': 'k', cookie: 'c', 'x-maas-user': 'm' };
    const header_map = {
      headers: Object.entries(headers).map(([key, value]) => ({ key, raw_value: Buffer.from(value) })),
    };
    const asMap = readAllowed(requestOf({ headers }));
    expect(asMap.headers).toEqual(
      new Map([
        ['authorization', 'Bearer abc'],
        ['x-api-key', 'k'],
      ]),
    );
    expect(asMap.forgedHeaders).toEqual(['x-maas-user']);
    expect(readAllowed(requestOf({ header_map }))).toEqual(asMap);
  });

  it('that come several times are joined by commas, in whatever case and form', () => {
    const [a, b] = ['Bearer one', 'Bearer two'];
    const joined = new Map([['authorization', 'Bearer one,Bearer two']]);
    const list = { headers: [a, b].map((raw) => ({ key: 'Authorization', raw_value: Buffer.from(raw) })) };
    expect(readAllowed(requestOf({ header_map: list })).headers).toEqual(joined);
    const twice = [a, b].map((value) => field(3, field(1, 'authorization'), field(2, value)));
    expect(readAllowed(httpMessage(...twice)).headers).toEqual(joined);
    const both = { headers: { authorization: a }, header_map: { headers: list.headers.slice(1) } };
    expect(readAllowed(requestOf(both)).headers).toEqual(joined);
  });

  it('that look like ours are named, each once, in lower case', () => {
    const headers = {
      'x-tiergate-user': '1',
      'X-Tiergate-Future': '2',
      'x-tiergate-future': '3',
      x_maas_group: '4',
      'x-maas-model': 'llm/llama',
      'x-request-id': '5',
      'x-tiergate': '6',
    };
    const input = readAllowed(requestOf({ headers }));
    expect(input.forgedHeaders.toSorted()).toEqual([
      'x-maas-model',
      'x-tiergate-future',
      'x-tiergate-user',
      'x_maas_group',
    ]);
    expect(input.headers).toEqual(new Map([['x-maas-model', 'llm/llama']]));
  });

  it('that look like ours but are no names are refused', () => {
    expect(read(httpMessage(field(3, field(1, 'x-tiergate-a\r\nb'), field(2, 'v'))), 0)).toMatchObject(
      refused,
    );
  });

  it('may come with the value before the name, without a value, and empty', () => {
    expect(readAllowed(httpMessage(field(3, field(2, 'v'), field(1, 'x-api-key')))).headers).toEqual(
      new Map([['x-api-key', 'v']]),
    );
    expect(readAllowed(httpMessage(field(3, field(1, 'x-api-key')))).headers.get('x-api-key')).toBe('');
    expect(readAllowed(httpMessage(field(3))).headers.size).toBe(0);
  });

  it('may hold raw bytes that are no text, which are in no token', () => {
    const header_map = { headers: [{ key: 'authorization', raw_value: Buffer.from([0x42, 0xff, 0x43]) }] };
    expect(readAllowed(requestOf({ header_map })).headers.get('authorization')).toBe('B\u{fffd}C');
  });

  it('with two different values in one are refused', () => {
    const twofold = { key: 'authorization', value: 'Bearer a', raw_value: Buffer.from('Bearer b') };
    expect(read(requestOf({ header_map: { headers: [twofold] } }), 0)).toMatchObject(refused);
  });

  it('with odd characters are not taken for a wanted name', () => {
    // A carriage return is a hyphen with one bit less; a name is compared by more than that.
    for (const name of ['x\rapi-key', 'xÍapi-key', 'x-api-ke', 'x-api-key ', 'authorizatioN\0']) {
      expect(readAllowed(httpMessage(field(3, field(1, name), field(2, 'v')))).headers.size).toBe(0);
    }
  });
});

describe('dynamic metadata', () => {
  const metadataOf = (filter_metadata: object) =>
    readAllowed(requestOf({}, { metadata_context: { filter_metadata } })).metadata;

  it('is the scalars of our namespace', () => {
    const tiergate = {
      model: 'llm/llama',
      stream: true,
      max_tokens: 512.5,
      nothing: null,
      list: [1],
      struct: { deep: 1 },
      empty: '',
    };
    expect(metadataOf({ tiergate, 'envoy.lb': { model: 'other' } })).toEqual(
      new Map<string, unknown>([
        ['model', 'llm/llama'],
        ['stream', true],
        ['max_tokens', 512.5],
        ['empty', ''],
      ]),
    );
  });

  it('is empty where our namespace is absent', () => {
    expect(metadataOf({ 'envoy.lb': { model: 'other' } })).toEqual(new Map());
    expect(metadataOf({})).toEqual(new Map());
  });

  it('is found with the value before the key', () => {
    const entry = field(1, field(2, field(1, field(2, field(3, 'v')), field(1, 'k'))), field(1, 'tiergate'));
    expect(readAllowed(attributesMessage(field(4, field(2)), field(11, entry))).metadata).toEqual(
      new Map([['k', 'v']]),
    );
  });

  it('of other namespaces may be nested to any depth', () => {
    let deep = field(5);
    for (let level = 0; level < 2000; level += 1) deep = field(5, field(1, field(2, deep)));
    const entry = field(1, field(1, 'envoy.other'), field(2, field(1, field(1, 'k'), field(2, deep))));
    const ours = field(1, field(1, 'tiergate'), field(2, field(1, field(1, 'k'), field(2, deep))));
    expect(readAllowed(attributesMessage(field(4, field(2)), field(11, entry, ours))).metadata).toEqual(
      new Map(),
    );
  });
});

describe('a field that comes twice', () => {
  it('is replaced if it is a scalar, and merged if it is a message', () => {
    const first = attributesMessage(
      field(1, field(1, field(1, field(2, '10.0.0.1')))),
      field(4, field(2, field(1, 'one'), field(4, '/a'), field(3, field(1, 'x-api-key'), field(2, 'k')))),
      field(10, field(1, 'key'), field(2, 'first')),
      field(10, field(1, 'other'), field(2, 'kept')),
    );
    const second = attributesMessage(
      field(4, field(2, field(4, '/b')), field(2, field(2, 'GET'))),
      field(10, field(1, 'key'), field(2, 'second')),
    );
    expect(readAllowed(Buffer.concat([first, second]))).toMatchObject({
      id: 'one',
      path: '/b',
      method: 'GET',
      source: '10.0.0.1',
      headers: new Map([['x-api-key', 'k']]),
      contextExtensions: new Map([
        ['key', 'second'],
        ['other', 'kept'],
      ]),
    });
  });

  it('is the last of its oneof', () => {
    const addressOf = (...parts: Buffer[]) =>
      readAllowed(attributesMessage(field(1, field(1, ...parts)), field(4, field(2)))).source;
    const socket = field(1, field(2, '10.0.0.1'));
    const pipe = field(2, field(1, '/run/x'));
    expect(addressOf(socket, pipe)).toBe('');
    expect(addressOf(pipe, socket)).toBe('10.0.0.1');

    const valueOf = (...kinds: Buffer[]) => {
      const entry = field(1, field(1, 'k'), ...kinds.map((kind) => field(2, kind)));
      const ours = field(1, field(1, 'tiergate'), field(2, entry));
      return readAllowed(attributesMessage(field(4, field(2)), field(11, ours))).metadata.get('k');
    };
    const [text, isTrue, list] = [field(3, 'text'), Buffer.of(0x20, 1), field(6)];
    expect(valueOf(Buffer.concat([text, isTrue]))).toBe(true);
    expect(valueOf(text, isTrue)).toBe(true);
    expect(valueOf(text, Buffer.alloc(0))).toBe('text');
    expect(valueOf(text, list)).toBeUndefined();
  });

  it('replaces an entry of the same key', () => {
    const ours = (text: string) =>
      field(1, field(1, 'tiergate'), field(2, field(1, field(1, text), field(2, field(3, text)))));
    const message = attributesMessage(field(4, field(2)), field(11, ours('a'), ours('b')));
    expect(readAllowed(message).metadata).toEqual(new Map([['b', 'b']]));
  });
});

describe('bytes that are no CheckRequest', () => {
  const groups = (depth: number) => Buffer.concat([Buffer.alloc(depth, 0x7b), Buffer.alloc(depth, 0x7c)]);

  it.each([
    ['a length beyond the end', Buffer.of(0x0a, 0x05, 0x00)],
    ['a length of four gigabytes', Buffer.concat([Buffer.of(0x0a), varint(0xffff_ffff)])],
    ['a length that never ends', Buffer.concat([Buffer.of(0x0a), Buffer.alloc(20, 0xff)])],
    ['a length beyond its message', field(1, field(4, Buffer.of(0x12, 0x7f)), Buffer.alloc(200))],
    ['text beyond its message', httpMessage(Buffer.of(0x22, 0x7f), Buffer.alloc(10))],
    ['a header beyond its message', httpMessage(field(3, Buffer.of(0x0a, 0x7f, 0x61)))],
    ['a tag cut off', httpMessage(Buffer.of(0xa0))],
    ['field number 0', httpMessage(Buffer.of(0x02, 0x00))],
    ['wire type 6', httpMessage(Buffer.of(0x0e))],
    ['wire type 7', httpMessage(Buffer.of(0x0f))],
    ['the end of a group that never began', httpMessage(Buffer.of(0x7c))],
    ['a group without an end', httpMessage(Buffer.of(0x7b))],
    ['groups a hundred thousand deep', httpMessage(groups(100_000))],
    ['a path that is no text', httpMessage(field(4, Buffer.of(0x2f, 0xc3, 0x28)))],
    ['half a surrogate pair', httpMessage(field(4, Buffer.of(0xed, 0xa0, 0x80)))],
    ['a header that is no text', httpMessage(field(3, field(1, 'x-api-key'), field(2, Buffer.of(0xff))))],
    [
      'a metadata number cut off',
      attributesMessage(
        field(
          11,
          field(1, field(1, 'tiergate'), field(2, field(1, field(1, 'k'), field(2, Buffer.of(0x11, 0x00))))),
        ),
      ),
    ],
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n')],
  ])('are refused: %s', (_what, message) => {
    expect(read(message, 0)).toMatchObject({ ...refused, cause: expect.any(Error) });
  });

  it('are no worse than text that holds the replacement character itself', () => {
    expect(readAllowed(httpMessage(field(4, '/a\u{fffd}b'))).path).toBe('/a\u{fffd}b');
  });

  it('are told apart from unknown fields of every type, which are stepped over', () => {
    const unknown = Buffer.concat([
      field(100, 'x'),
      Buffer.of(0xa0, 0x06, 0xff, 0xff, 0x01), // varint
      Buffer.of(0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8),
      Buffer.of(0xa5, 0x06, 1, 2, 3, 4),
      groups(50),
      Buffer.of(0x20, 0x01), // the number of `path`, but not its type
    ]);
    expect(readAllowed(httpMessage(field(4, '/a'), unknown)).path).toBe('/a');
  });

  it('are refused or read, never thrown at, wherever a message is cut off', () => {
    const whole = messages.encodeRequest(sampleRequest());
    let cut = 0;
    for (let end = 0; end < whole.length; end += 1) {
      const input = read(whole.subarray(0, end), 0);
      if (isDenied(input)) cut += 1;
    }
    // The attributes are one field: no shorter message holds them whole.
    expect(cut).toBe(whole.length);
  });
});

describe('size', () => {
  it('does not matter in fields that nobody reads', () => {
    const body = field(11, Buffer.alloc(3 * 1024 * 1024, 0x61));
    expect(readAllowed(httpMessage(body, field(4, '/a'))).path).toBe('/a');
  });

  it('is bounded in the number of headers', () => {
    const headers = (count: number) =>
      httpMessage(...Array.from({ length: count }, (_, at) => field(3, field(1, `x-maas-${at}`))));
    expect(readAllowed(headers(4096)).forgedHeaders).toHaveLength(4096);
    expect(read(headers(4097), 0)).toMatchObject(refused);
  });

  it('is bounded in metadata and context extensions too', () => {
    const many = Array.from({ length: 5000 }, (_, at) => field(10, field(1, `k${at}`)));
    expect(read(attributesMessage(field(4, field(2)), ...many), 0)).toMatchObject(refused);
    const fields = Array.from({ length: 5000 }, (_, at) => field(1, field(1, `k${at}`)));
    const ours = field(11, field(1, field(1, 'tiergate'), field(2, ...fields)));
    expect(read(attributesMessage(field(4, field(2)), ours), 0)).toMatchObject(refused);
  });
});
