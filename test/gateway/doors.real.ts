import { createSign, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Envoy } from '../real/envoy.ts';
import { type DoorCase, doorCases, type DoorTokens, question } from './door-cases.ts';
import { audience, type Authorizer, type Installation, startInstallation } from './installation.ts';
import { type Answered, chat, denial, outcome, send } from './send.ts';

/**
 * One authorizer with both doors, one Envoy in front of each: whatever is asked, the doors say the same, to the client,
 * to the model, to the access log and to the metrics.
 */
let installation: Installation;
let authorizer: Authorizer;

const doors = ['grpc', 'http'] as const;
type Door = (typeof doors)[number];

/** Over HTTP, Envoy hands on what is named; over gRPC all there is. */
const allowedHeaders = ['authorization', 'x-api-key', 'origin', 'access-control-request-method'];

const policy = `
tiers:
- {name: free, groups: [tier-free-users], limits: {requests: [{limit: 2, window: 5m}]}, onStoreUnavailable: deny}
- name: premium
  level: 10
  groups: [tier-premium-users]
  limits: {requests: [{limit: 1000, window: 5m}, {limit: 1, window: 1d, mode: shadow}]}
- {name: enterprise, level: 20, groups: [tier-enterprise-users], limits: {requests: unlimited, concurrency: 1, tokens: [{limit: 10000000, window: 1h}]}}
capacity: {"llm/qwen-large": {requests: [{limit: 100000, window: 1d}]}}
`;
const config = `
credential: {headers: [authorization, x-api-key]}
model: {cors: true, identityOnly: [/who]}
`;

/** With true, an answer that Envoy takes for an error would let the request pass. */
const gateways = {} as Record<Door, Envoy>;
const tokens = {} as Record<Door, DoorTokens>;

beforeAll(async () => {
  installation = await startInstallation();
  authorizer = await installation.startAuthorizer({ policy, config, http: 'profile: envoy' });
  for (const door of doors) {
    gateways[door] = await installation.startGateway(authorizer, {
      failureModeAllow: true,
      accessLog: {},
      ...(door === 'http' && { httpDoor: { port: authorizer.httpPort }, allowedHeaders }),
    });
    tokens[door] = await mintAll(door);
  }
});

afterAll(() => installation.stop());

const person = (name: string, door: Door) => `${name}-by-${door}@example.com`;

async function mintAll(door: Door): Promise<DoorTokens> {
  const { kube } = installation;
  const mint = (name: string, tier: string) => installation.mint(person(name, door), tier);
  const premium = await mint('alice', 'premium');
  const [header, claims] = premium.split('.', 2).map((part) => {
    return JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
  });
  const hourAgo = Math.floor(Date.now() / 1000) - 3600;
  const sign = (key: string, changes: object) => signJwt(key, { ...claims, ...changes }, header ?? {});
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const revoked = await mint('rita', 'free');
  // Known as present before it goes: what refuses it then is the watch.
  await send(gateways[door].port, { path: '/who', headers: { authorization: `Bearer ${revoked}` } });
  await kube.client().delete(accountOf(revoked));
  return {
    premium,
    free: await mint('fred', 'free'),
    scarce: await mint('sue', 'free'),
    outsider: await outsider(door),
    expired: sign(kube.serviceAccountSigningKeyPem, { iat: hourAgo - 600, nbf: hourAgo - 600, exp: hourAgo }),
    foreign: sign(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), {}),
    otherAudience: sign(kube.serviceAccountSigningKeyPem, { aud: ['other'] }),
    revoked,
  };
}

function signJwt(privateKeyPem: string, claims: object, header: object): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKeyPem, 'base64url')}`;
}

function accountOf(token: string): string {
  const { sub } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    sub: string;
  };
  const [, , namespace, name] = sub.split(':');
  return `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`;
}

/** Of a namespace that is no tier's. */
async function outsider(door: Door): Promise<string> {
  const admin = installation.kube.client();
  const accounts = '/api/v1/namespaces/default/serviceaccounts';
  await admin.post(accounts, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: `outsider-${door}` },
  });
  const { body } = await admin.post(`${accounts}/outsider-${door}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences: [audience], expirationSeconds: 3600 },
  });
  return (body as { readonly status: { readonly token: string } }).status.token;
}

/** What differs between two answers to one question: whose they are, and when. */
function plain(text: string, door: Door): string {
  return (
    text
      .replaceAll(`-by-${door}@`, '@')
      .replaceAll(`outsider-${door}`, 'outsider')
      .replace(/\bt=\d+/g, 't=?')
      // The one window that both share.
      .replace(/capacity";r=\d+/, 'capacity";r=?')
  );
}

const ofTheMoment =
  /^(date|x-request-id|x-envoy-upstream-service-time|x-ratelimit-reset-.*|retry-after|host|content-length)$/;

function headersOf(headers: NodeJS.Dict<string | string[]>, door: Door): Record<string, string> {
  const pairs = Object.entries(headers).map(([name, value]) => [
    name,
    ofTheMoment.test(name) ? 'there' : plain(String(value), door),
  ]);
  return Object.fromEntries(pairs) as Record<string, string>;
}

interface Seen {
  readonly client: {
    readonly status: number;
    readonly headers: Record<string, string>;
    readonly error: unknown;
  };
  readonly model: readonly {
    readonly method: string;
    readonly path: string;
    readonly headers: Record<string, string>;
  }[];
  readonly logged: Readonly<Record<string, unknown>>;
  readonly counted: Readonly<Record<string, number>>;
}

/** What the authorizer counts that belongs to a door, without its name. */
async function counters(door: Door): Promise<Map<string, number>> {
  const text = await (await fetch(`${authorizer.opsUrl}/metrics`)).text();
  const lines = text
    .split('\n')
    .filter((line) => /^tiergate_(checks|limit_decisions|slots)_total\{/.test(line));
  return new Map(
    lines
      .filter((line) => !line.includes('door=') || line.includes(`door="${door}"`))
      .map((line): [string, number] => {
        const at = line.lastIndexOf(' ');
        return [line.slice(0, at).replace(/door="\w+",?/, ''), Number(line.slice(at + 1))];
      }),
  );
}

/** Ends of reservations that were told, whatever came of them. */
async function settlements(): Promise<number> {
  const text = await (await fetch(`${authorizer.opsUrl}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith('tiergate_reservations_total{'));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

async function ask(door: Door, { sent, times = 1 }: DoorCase): Promise<Seen> {
  const { port, accessLog } = gateways[door];
  const before = await counters(door);
  const logged = accessLog().length;
  installation.modelRequests.length = 0;
  let answer: Answered | undefined;
  for (let count = 0; count < times; count += 1) {
    const more = sent(tokens[door]);
    // Node's client frames no body of these.
    const hasBody = more.method !== 'DELETE' && more.method !== 'OPTIONS';
    const body = hasBody ? JSON.stringify(question) : '';
    answer = await send(port, { path: '/llm/llama/v1/chat/completions', body, ...more });
  }
  if (answer === undefined) throw new Error('nothing was sent');
  await expect.poll(() => accessLog().length).toBe(logged + times);
  const after = await counters(door);
  const { durationMs: _durationMs, ...line } = accessLog().at(-1) ?? {};
  return {
    client: { status: answer.status, headers: headersOf(answer.headers, door), error: answer.error },
    model: installation.modelRequests.map(({ method, path, headers }) => ({
      method,
      path,
      headers: headersOf(headers, door),
    })),
    logged: JSON.parse(plain(JSON.stringify(line), door)) as Readonly<Record<string, unknown>>,
    counted: Object.fromEntries(
      [...after]
        .map(([name, value]) => [name, value - (before.get(name) ?? 0)])
        .filter(([, more]) => more !== 0),
    ) as Readonly<Record<string, number>>,
  };
}

const stream = (port: number, token: string) =>
  send(port, {
    path: '/llm/llama/v1/chat/completions',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify({ ...question, stream: true }),
  });

describe('through both doors alike:', () => {
  it(`${doorCases.length} cases are at least sixty, each with a name of its own`, () => {
    expect(doorCases.length).toBeGreaterThanOrEqual(60);
    expect(new Set(doorCases.map(({ name }) => name)).size).toBe(doorCases.length);
  });

  it.each(doorCases)('$name', async (one) => {
    const [grpc, http] = [await ask('grpc', one), await ask('http', one)];
    expect(http).toEqual(grpc);
    if (one.status !== undefined) expect(grpc.client.status).toBe(one.status);
    expect(grpc.client.headers['x-tiergate-reason']).toBe(one.reason);
    const verdict = one.reason === undefined ? 'allowed' : 'denied';
    if (one.times === undefined)
      expect(grpc.model, JSON.stringify(grpc)).toHaveLength(one.status === undefined ? 1 : 0);
    if (one.unasked === true) expect(grpc.counted).toEqual({});
    else {
      const name = `tiergate_checks_total{result="${verdict}",reason="${one.reason ?? 'none'}"}`;
      expect(grpc.counted).toHaveProperty([name]);
    }
    for (const { headers } of http.model) {
      expect(JSON.stringify(headers)).not.toContain('root');
      expect(headers).not.toHaveProperty('x-api-key');
    }
  });
});

describe('through both doors alike, with failure_mode_allow true and false:', () => {
  const outages = [
    {
      name: 'no API server and a new token',
      part: 'kubeProxy',
      reason: 'identity_unavailable',
      user: 'scarce',
    },
    {
      name: 'no Redis and a tier that denies then',
      part: 'redisProxy',
      reason: 'limit_unavailable',
      user: 'known',
    },
  ] as const;

  it.each(outages)('$name', async ({ part, reason, user }) => {
    const strict = {} as Record<Door, Envoy>;
    const people = {} as Record<Door, string>;
    for (const door of doors) {
      const httpDoor = door === 'http' ? { httpDoor: { port: authorizer.httpPort } } : {};
      strict[door] = await installation.startGateway(authorizer, {
        allowedHeaders: ['authorization'],
        ...httpDoor,
      });
      people[door] =
        user === 'scarce' ? tokens[door].scarce : await installation.mint(person(reason, door), 'free');
      if (user === 'known') expect((await chat(strict[door].port, people[door])).status).toBe(200);
    }
    await installation[part].refuse();
    try {
      installation.modelRequests.length = 0;
      for (const gateway of [gateways, strict]) {
        const [grpc, http] = [
          await chat(gateway.grpc.port, people.grpc),
          await chat(gateway.http.port, people.http),
        ];
        expect(outcome(grpc)).toEqual(denial(503, reason));
        expect(outcome(http)).toEqual(denial(503, reason));
        expect(headersOf(http.headers, 'http')).toEqual(headersOf(grpc.headers, 'grpc'));
        expect(http.error).toEqual(grpc.error);
      }
      expect(installation.modelRequests).toEqual([]);
    } finally {
      await installation[part].pass();
    }
  });

  it('a body whose words no header could hold is judged all the same', async () => {
    const told = { tokens: 'access-log', failureModeAllow: true, accessLog: {} } as const;
    for (const door of doors) {
      const httpDoor = door === 'http' ? { httpDoor: { port: authorizer.httpPort } } : {};
      const { port } = await installation.startGateway(authorizer, { ...told, ...httpDoor });
      installation.modelRequests.length = 0;
      for (const word of ['\n', '1\r\n\r\nGET / HTTP/1.1', '\0', '\u007f']) {
        const asked = {
          path: '/llm/llama/v1/chat/completions',
          body: JSON.stringify({ ...question, max_tokens: word }),
          headers: { x_tiergate_user: 'root' },
        };
        const answered = await send(port, asked);
        // Envoy's own refusal, where it could not have asked.
        if (door === 'http' && word === '\u007f') expect(answered.status).toBe(403);
        else expect(outcome(answered)).toEqual(denial(401, 'credential_missing'));
      }
      expect(installation.modelRequests).toEqual([]);
    }
  });

  it('tokens are reserved alike, and settled by the access log', async () => {
    const left = {} as Record<Door, readonly number[]>;
    for (const door of doors) {
      const { port } = gateways[door];
      const token = await installation.mint(person('tom', door), 'enterprise');
      installation.modelRequests.length = 0;
      const settledBefore = await settlements();
      const first = await chat(port, token);
      expect(first.status).toBe(200);
      expect(installation.modelRequests[0]?.headers['x-tiergate-reservation']).toMatch(
        /^[\w-]{22}\.[\w-]{22}$/,
      );
      await expect.poll(settlements).toBe(settledBefore + 1);
      let second = first;
      // The slot of the first is freed as well, in its own time; to be refused for that costs no token.
      await expect.poll(async () => (second = await chat(port, token)).status).toBe(200);
      // Or it would be counted as one of the next door's.
      await expect.poll(settlements).toBe(settledBefore + 2);
      left[door] = [first, second].map(({ headers }) => Number(headers['x-ratelimit-remaining-tokens']));
    }
    expect(left.http).toEqual(left.grpc);
    expect(left.http[0]).toBeLessThan(10_000_000);
  });

  it('an open request too many, and its end, which the access log tells of both', async () => {
    for (const door of doors) {
      const { port } = gateways[door];
      const token = await installation.mint(person('eve', door), 'enterprise');
      const [one, two] = await Promise.all([stream(port, token), stream(port, token)]);
      expect(new Set([one.status, two.status])).toEqual(new Set([200, 429]));
      const late = one.status === 429 ? one : two;
      expect(outcome(late)).toEqual(denial(429, 'concurrency_exceeded'));
      expect(late.headers['retry-after']).toBe('1');
      await expect.poll(async () => (await chat(port, token)).status).toBe(200);
    }
  });
});
