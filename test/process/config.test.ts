import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Config, loadConfig, parseConfig } from '../../src/process/config.ts';
import { ConfigMistakes, isConfigMistakes } from '../../src/process/config-mistakes.ts';

const redis = 'redis: {url: "redis://redis:6379", keySecretFile: key}\n';

function parse(text: string): Config {
  return parseConfig(text, { file: 'tiergate.yaml', folder: '/etc/tiergate' });
}

/** `path@line: message` of every mistake. */
function mistakesOf(text: string): readonly string[] {
  try {
    parse(text);
  } catch (error) {
    if (isConfigMistakes(error)) {
      return error.mistakes.map(({ path, line, message }) => `${path}@${line ?? '-'}: ${message}`);
    }
    throw error;
  }
  return [];
}

describe('defaults', () => {
  const config = parse(redis);

  test('are those of the reference', () => {
    expect(config).toMatchObject({
      instance: 'maas-default-gateway',
      workers: 1,
      listeners: {
        grpc: { address: { kind: 'tcp', host: '0.0.0.0', port: 9090 }, tls: undefined },
        ops: { address: { kind: 'tcp', host: '0.0.0.0', port: 9091 } },
        console: { address: { kind: 'tcp', host: '127.0.0.1', port: 9093 } },
      },
      credential: { headers: ['authorization'], opaqueTokens: false, jwks: true },
      identity: {
        audience: 'maas-default-gateway-sa',
        ttlMs: 60_000,
        negativeTtlMs: 2000,
        staleIfErrorMs: 300_000,
        watchDownTtlMs: 10_000,
        maxEntries: 100_000,
      },
      access: {
        group: 'serving.kserve.io',
        resource: 'llminferenceservices',
        verb: 'post',
        allowTtlMs: 60_000,
        denyTtlMs: 5000,
        extraKeys: [],
      },
      model: {
        from: 'path',
        template: '/{namespace}/{model}/',
        header: undefined,
        public: ['/maas-api', '/v1/models'],
        identityOnly: [],
        cors: false,
      },
      reviews: { concurrency: 64, perSecond: 500, perSourcePerSecond: 50, queue: 1000, timeoutMs: 2000 },
      check: { deadlineMs: 150 },
      policy: {
        source: { kind: 'configMap', namespace: undefined, name: 'tier-to-group-mapping' },
        defaultTier: undefined,
        defaultLimits: { requests: [{ limit: 5, window: 120_000 }] },
      },
      limits: { store: 'redis', onStoreUnavailable: 'local', expectedReplicas: 1 },
      redis: {
        place: { kind: 'single', url: 'redis://redis:6379' },
        keySecretFile: '/etc/tiergate/key',
        commandTimeoutMs: 50,
      },
      kubernetes: {},
      issuer: {
        listeners: { http: { address: { port: 8080 } }, ops: { address: { port: 8081 } } },
        clusterAudience: 'https://kubernetes.default.svc',
        maxTokensPerUser: 50,
        mint: { serviceAccounts: [] },
        createNamespaces: false,
        trustedProxies: [],
      },
      log: { level: 'info', decisions: 'denials' },
    });
  });

  test('are frozen, down to the last list', () => {
    const unfrozen: string[] = [];
    const visit = (value: unknown, path: string): void => {
      if (typeof value !== 'object' || value === null) return;
      if (!Object.isFrozen(value)) unfrozen.push(path);
      for (const [key, inner] of Object.entries(value)) visit(inner, `${path}.${key}`);
    };
    visit(config, '');
    expect(unfrozen).toEqual([]);
  });

  test('a section with nothing below it says nothing', () => {
    expect(parse(`${redis}identity:\nlog:\n  # level: debug\n`)).toEqual(config);
  });
});

describe('values', () => {
  test('durations with units become milliseconds', () => {
    const config = parse(`${redis}identity: {ttl: 1m30s, staleIfError: 0.5h}\ncheck: {deadline: 800ms}`);
    expect(config.identity).toMatchObject({ ttlMs: 90_000, staleIfErrorMs: 1_800_000 });
    expect(config.check.deadlineMs).toBe(800);
  });

  test('the audience follows the instance, unless it is named', () => {
    expect(parse(`${redis}instance: gw`).identity.audience).toBe('gw-sa');
    expect(parse(`${redis}identity: {audience: mine}`).identity.audience).toBe('mine');
  });

  test('relative files are meant from the folder of the process file', () => {
    const { listeners, redis: store } = parse(`
listeners: {grpc: {address: "unix:/run/tg.sock", tls: {cert: tls/cert.pem, key: /abs/key.pem}}}
redis: {url: "redis://r", keySecretFile: ../key, passwordFile: /run/pw}`);
    expect(listeners.grpc).toEqual({
      address: { kind: 'unix', path: '/run/tg.sock' },
      transport: 'tiergate',
      trust: ['127.0.0.0/8', '::1'],
      tls: { cert: '/etc/tiergate/tls/cert.pem', key: '/abs/key.pem', clientCa: undefined },
    });
    expect(store).toMatchObject({ keySecretFile: '/etc/key', passwordFile: '/run/pw' });
  });

  test('header names are taken in any case', () => {
    expect(parse(`${redis}credential: {headers: [Authorization, X-Api-Key]}`).credential.headers).toEqual([
      'authorization',
      'x-api-key',
    ]);
  });

  test('a policy file takes the place of the ConfigMap', () => {
    expect(parse(`${redis}policy: {file: tiers.yaml}`).policy.source).toEqual({
      kind: 'file',
      path: '/etc/tiergate/tiers.yaml',
    });
  });

  test('counters in memory need no Redis', () => {
    expect(parse('limits: {store: memory}').redis).toBeUndefined();
  });

  test('decisions are sampled one in so many', () => {
    expect(parse(`${redis}log: {decisions: {sample: 100}}`).log.decisions).toEqual({ sample: 100 });
  });
});

describe('the doors', () => {
  test('the HTTP door is there where it is written, with its defaults', () => {
    expect(parse(redis).listeners.http).toBeUndefined();
    expect(parse(`${redis}listeners: {http: {}}`).listeners.http).toEqual({
      address: { kind: 'tcp', host: '0.0.0.0', port: 9092 },
      profile: 'envoy',
      trust: ['127.0.0.0/8', '::1'],
    });
  });

  test('a Unix socket has its mode and its owner as numbers', () => {
    const socket = '{address: "unix:/run/s", socket: {mode: "0600", owner: "1000:1337"}}';
    expect(parse(`${redis}listeners: {http: ${socket}}`).listeners.http?.socket).toEqual({
      mode: 0o600,
      owner: { uid: 1000, gid: 1337 },
    });
    const plain = parse(`${redis}listeners: {grpc: {address: "unix:/run/s", socket: {}}}`);
    expect(plain.listeners.grpc.socket).toEqual({ mode: 0o660 });
  });
});

describe('mistakes', () => {
  test('all at once, with path and line, whatever kind they are of', () => {
    const text = `instance: Bad_Name
identiy: {}
identity:
  ttl: 60
  negativeTTL: 2s
listeners:
  grpc:
    address: 0.0.0.0
    tls: {cert: a.pem}
redis:
  commandTimeout: 200ms
model: {from: header}
workers: x
`;
    expect(mistakesOf(text)).toEqual([
      expect.stringMatching(/^instance@1: must be lower-case letters/),
      'identiy@2: is not a known key; did you mean identity?',
      'identity.ttl@4: must be text with a unit, for example 30s (a bare number has none)',
      'identity.negativeTTL@5: is not a known key; did you mean negativeTtl?',
      'listeners.grpc.address@8: "0.0.0.0" is not an address: write host:port, [IPv6]:port or unix:PATH',
      'listeners.grpc.tls.key@9: must be the path of a file',
      'redis.url@10: is needed where limits.store is redis, for example redis://redis:6379',
      'redis.keySecretFile@10: is needed where limits.store is redis: it keys the names of counters',
      'redis.commandTimeout@11: must be shorter than check.deadline, or an outage is never told',
      'model.header@12: is needed where model.from is header',
      'workers@13: must be a whole number from 1 to 64',
    ]);
  });

  test('inside a map that may also be a word', () => {
    expect(mistakesOf(`${redis}log: {decisions: {sampel: 10}}`)).toEqual([
      'log.decisions.sample@2: must be a whole number from 2 to 1000000',
      'log.decisions.sampel@2: is not a known key; did you mean sample?',
    ]);
  });

  test('an empty file says what it lacks', () => {
    expect(mistakesOf('')).toEqual([
      expect.stringMatching(/^redis\.url@-: is needed/),
      expect.stringMatching(/^redis\.keySecretFile@-: is needed/),
    ]);
  });

  test('the message is one line for each, ready to print', () => {
    expect(() => parse(`${redis}workers: 0\nlog: {level: loud}`)).toThrow(
      new ConfigMistakes('tiergate.yaml', [
        { path: 'workers', line: 2, message: 'must be a whole number from 1 to 64' },
        { path: 'log.level', line: 3, message: 'must be one of debug, info, warn, error' },
      ]),
    );
    expect(() => parse(`${redis}workers: 0`)).toThrow(
      'tiergate.yaml:2: workers: must be a whole number from 1 to 64',
    );
  });

  const cases: readonly (readonly [text: string, mistake: string])[] = [
    ['- a\n- b', '@-: must be a map of keys'],
    ['just words', '@-: must be a map of keys'],
    ['a: [', '@1: Flow sequence in block collection must be'],
    ['instance: a\ninstance: b', '@2: Map keys must be unique'],
    ['instance: !env NAME', '@1: Unresolved tag: !env'],
    ['a: 1\n---\nb: 2', '@2: Source contains multiple documents'],
    ['x: &x [*x]', 'x@1: is not a known key'],
    ['identity: 60s', 'identity@1: must be a map of keys (audience, ttl,'],
    ['identity: {ttl: 60}', 'identity.ttl@1: must be text with a unit'],
    ['identity: {ttl: "60"}', 'identity.ttl@1: 60 has no unit; write 60s for seconds'],
    ['identity: {ttl: 1w}', 'identity.ttl@1: "1w" is not a duration'],
    ['identity: {ttl: 11m}', 'identity.ttl@1: 11m is out of bounds: from 0s (asks for every request) to 10m'],
    ['identity: {ttl: }', 'identity.ttl@1: must be text with a unit'],
    ['identity: {maxEntries: 1.5}', 'identity.maxEntries@1: must be a whole number'],
    [
      'identity: {stale_if_error: 1m}',
      'identity.stale_if_error@1: is not a known key; did you mean staleIfError?',
    ],
    ['ttl: 60s', 'ttl@1: is not a known key here; did you mean identity.ttl?'],
    ['__proto__: {polluted: 1}', '__proto__@1: is not a known key'],
    ['instance: a-tier-b', 'instance@1: must neither contain -tier-'],
    ['instance: a-tier', 'instance@1: must neither contain -tier-'],
    [`instance: ${'a'.repeat(57)}`, 'instance@1: must leave room'],
    ['credential: {jwks: yes}', 'credential.jwks@1: must be true or false'],
    ['credential: {headers: []}', 'credential.headers@1: must hold at least 1'],
    ['credential: {headers: [a, A]}', 'credential.headers[1]@1: stands twice in the list'],
    ['credential: {headers: ["a b"]}', 'credential.headers[0]@1: must be the name of a header'],
    ['credential: {headers: [x-tiergate-user]}', 'credential.headers[0]@1: x-tiergate-user is a header that'],
    ['model: {from: body}', 'model.from@1: must be one of path, context, metadata, header'],
    ['model: {template: "/{namespace}/"}', 'model.template@1: must be segments'],
    ['model: {header: x-model}', 'model.header@1: would be ignored: model.from is path'],
    ['model: {from: context, template: "/{namespace}/{model}"}', 'model.template@1: would be ignored'],
    ['model: {from: header, header: authorization}', 'model.header@1: authorization carries the credential'],
    ['model: {public: [/open/]}', 'model.public[0]@1: must be a path such as'],
    ['model: {public: [/a/../b]}', 'model.public[0]@1: must be a path such as'],
    [
      'model: {public: [/open], identityOnly: [/open/a]}',
      'model.identityOnly[0]@1: /open/a is public already',
    ],
    ['check: {deadline: 50ms}', 'redis.commandTimeout@2: must be shorter than check.deadline'],
    ['policy: {file: a, configMap: {}}', 'policy.configMap@1: excludes policy.file'],
    [
      'policy: {defaultLimits: {requests: [{limit: 5, window: 2}]}}',
      'policy.defaultLimits.requests[0].window@1: must be text',
    ],
    [
      'policy: {defaultLimits: {request: []}}',
      'policy.defaultLimits.request@1: is not a known key; did you mean requests?',
    ],
    ['policy: {defaultLimits: none}', 'policy.defaultLimits@1: must be the word unlimited'],
    ['limits: {store: disk}', 'limits.store@1: must be one of redis, memory'],
    ['listeners: {ops: {address: "unix:/run/ops"}}', 'listeners.ops.address@1: must be host:port; a socket'],
    [
      'listeners: {ops: {address: "127.0.0.1:9090"}}',
      'listeners.ops.address@1: 127.0.0.1:9090 is taken by listeners.grpc',
    ],
    ['listeners: {http: {trust: [10.0.0.0/33]}}', 'listeners.http.trust[0]@1: must be a network'],
    [
      'listeners: {http: {address: "127.0.0.1:9091"}}',
      'listeners.ops.address@1: 0.0.0.0:9091 is taken by listeners.http',
    ],
    [
      'listeners: {grpc: {address: "unix:/run/s"}, http: {address: "unix:/run/s"}}',
      'listeners.http.address@1: unix:/run/s is taken by listeners.grpc',
    ],
    ['listeners: {http: {profile: apache}}', 'listeners.http.profile@1: must be one of envoy, istio, nginx'],
    ['listeners: {http: {socket: {}}}', 'listeners.http.socket@1: would be ignored: listeners.http.address'],
    [
      'listeners: {grpc: {address: "unix:/run/s", socket: {mode: 0660}}}',
      'listeners.grpc.socket.mode@1: must be four octal digits in quotes',
    ],
    [
      'listeners: {grpc: {address: "unix:/run/s", socket: {owner: envoy}}}',
      'listeners.grpc.socket.owner@1: must be numbers of a user and a group',
    ],
    [
      'listeners: {http: {}}\nmodel: {from: metadata}',
      'model.from@2: metadata is told to the gRPC door only',
    ],
    ['kubernetes: {context: a}', 'kubernetes.context@1: needs kubernetes.kubeconfig'],
    [
      'identity: {audience: "https://kubernetes.default.svc"}',
      'identity.audience@1: identity.audience and issuer.clusterAudience must differ',
    ],
    ['issuer: {trustedProxies: [here]}', 'issuer.trustedProxies[0]@1: must be a network'],
    [
      'issuer: {listeners: {http: {address: "0.0.0.0:8081"}}}',
      'issuer.listeners.ops.address@1: 0.0.0.0:8081 is taken by issuer.listeners.http',
    ],
    ['log: {decisions: some}', 'log.decisions@1: must be denials, all, or {sample: N}'],
    ['log: {decisions: {sample: 1}}', 'log.decisions.sample@1: must be a whole number from 2'],
  ];

  test.each(cases)('%s', (text, mistake) => {
    const isTextAlone = /^(- a|just words|a: |instance: a\n|instance: !env|x: )/.test(text);
    const [first = '', ...others] = mistakesOf(isTextAlone ? text : `${text}\n${redis}`);
    expect(first.slice(0, mistake.length)).toBe(mistake);
    if (!isTextAlone) expect(others).toEqual([]);
  });

  const redisCases: readonly (readonly [keys: string, mistake: string])[] = [
    ['url: "http://r"', 'redis.url@1: must be redis://host:port, or rediss://'],
    ['url: "redis://"', 'redis.url@1: must be redis://host:port'],
    ['url: "redis://:hunter2@r"', 'redis.url@1: must not hold a user or a password: write usernameFile'],
    ['url: "redis://r/0?password=hunter2"', 'redis.url@1: may hold a database number'],
    [
      'url: "redis://r", password: hunter2',
      'redis.password@1: is not a known key; did you mean passwordFile?',
    ],
    ['url: "redis://r", usernameFile: u', 'redis.usernameFile@1: needs redis.passwordFile'],
    ['url: "redis://r", tls: {cert: c}', 'redis.tls.key@1: cert and key go together'],
    ['url: "redis://r", cluster: ["a:1"]', 'redis.cluster@1: excludes redis.url'],
    [
      'sentinel: {name: m, nodes: ["a:1"], usernameFile: u}',
      'redis.sentinel.usernameFile@1: needs redis.sentinel.passwordFile',
    ],
  ];

  test.each([
    ['cluster: ["a:1", "b"]', 'redis.cluster[1]@1: must be host:port'],
    ['cluster: ["a:65536"]', 'redis.cluster[0]@1: must be host:port'],
    ['sentinel: {nodes: ["a:1"]}', 'redis.sentinel.name@1: must be the name of a master'],
    ['sentinel: {name: m, nodes: []}', 'redis.sentinel.nodes@1: must hold at least 1'],
  ])('redis: %s', (keys, mistake) => {
    expect(mistakesOf(`redis: {keySecretFile: k, ${keys}}`)).toContain(mistake);
  });

  test('redis: nodes of a cluster or of sentinels are taken apart', () => {
    const parsed = (keys: string) =>
      parseConfig(`redis: {keySecretFile: k, ${keys}}`, { file: 'f', folder: '/etc' }).redis?.place;
    expect(parsed('cluster: ["redis-0.redis:6379", "[fd00::1]:6380"]')).toEqual({
      kind: 'cluster',
      nodes: [
        { host: 'redis-0.redis', port: 6379 },
        { host: 'fd00::1', port: 6380 },
      ],
    });
    expect(parsed('sentinel: {name: counters, nodes: ["s:26379"], passwordFile: p}')).toEqual({
      kind: 'sentinel',
      name: 'counters',
      sentinels: [{ host: 's', port: 26_379 }],
      usernameFile: undefined,
      passwordFile: '/etc/p',
    });
  });

  test.each(redisCases)('redis: %s', (keys, mistake) => {
    const mistakes = mistakesOf(`redis: {keySecretFile: k, ${keys}}`);
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]?.slice(0, mistake.length)).toBe(mistake);
    expect(mistakes.join()).not.toContain('hunter2');
  });

  test('workers count together, and answer at one address', () => {
    expect(mistakesOf('limits: {store: memory}\nworkers: 2')).toEqual([
      'workers@2: needs limits.store: redis: each worker counts in a memory of its own',
    ]);
    expect(mistakesOf(`${redis}workers: 2\nlisteners: {grpc: {address: "0.0.0.0:0"}}`)).toEqual([
      'listeners.grpc.address@3: needs a port where there are workers: each would get another',
    ]);
    expect(mistakesOf(`${redis}workers: 2`)).toEqual([]);
  });

  test('the console listens on loopback, or by TLS', () => {
    const mistakes = mistakesOf(`${redis}listeners: {console: {address: "0.0.0.0:1"}}`);
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]).toMatch('listeners.console.address@2: must be on loopback, or ');
    const fine = [
      '{address: "[::1]:1"}',
      '{address: "0.0.0.0:1", tls: {cert: c, key: k}}',
      '{address: "0.0.0.0:1", enabled: false}',
    ];
    for (const text of fine) expect(mistakesOf(`${redis}listeners: {console: ${text}}`)).toEqual([]);
  });

  test('the console takes no port of another listener', () => {
    const mistakes = mistakesOf(`${redis}listeners: {console: {address: "127.0.0.1:9091"}}`);
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]).toMatch('listeners.console.address@2: ');
  });
});

describe('the file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tiergate-config-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('is read, and names itself in mistakes', () => {
    const file = join(folder, 'tiergate.yaml');
    writeFileSync(file, redis);
    expect(loadConfig(file).redis?.keySecretFile).toBe(join(folder, 'key'));
    writeFileSync(file, 'limits: {store: memory}\nworkers: x\n');
    expect(() => loadConfig(file)).toThrow(`${file}:2: workers: must be a whole number from 1 to 64`);
  });

  test('that can not be read is a mistake, not a crash', () => {
    expect(() => loadConfig(join(folder, 'missing.yaml'))).toThrow(
      /missing\.yaml: can not be read \(ENOENT\)$/,
    );
    expect(() => loadConfig(folder)).toThrow(ConfigMistakes);
  });
});
