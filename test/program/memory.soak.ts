import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type CheckClient, createCheckClient } from '../../src/envoy/check-client.ts';
import type { KubernetesApi } from '../../src/sandbox/kubernetes-api/server.ts';
import { ownUsers, seedCluster } from '../../src/sandbox/seed.ts';
import { freePort } from '../real/free-port.ts';
import { type RedisServer, startRedis } from '../real/redis.ts';
import { createTestKubernetesApi } from '../support/test-kubernetes-api.ts';
import { type ProgramProcess, startProgram } from './program-process.ts';

/**
 * The whole authorizer in a process of its own: the gRPC door, the stores that watch ServiceAccounts and Secrets, both
 * caches, counters in a real Redis. Only the API server is the embedded one: a real one takes an hour for these tokens.
 */
const accounts = 50_000;
const tokensOfEach = 2;
const tokens = accounts * tokensOfEach;
const checks = 1_000_000;
const measureEvery = 100_000;
/** More of them than the caches hold. */
const moreAccounts = 5_000;

const instance = 'maas-default-gateway';
const namespace = `${instance}-tier-free`;
const atOnce = 64;

let folder: string;
let api: KubernetesApi;
let redis: RedisServer;
let authorizer: ProgramProcess;
let opsUrl: string;
let client: CheckClient;
/** By number; each is asked with again and again. */
const issued: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tiergate-memory-'));
  api = createTestKubernetesApi({ users: [{ ...ownUsers.authorizer, groups: [] }] });
  seedCluster(api, instance, ['free']);
  const { url } = await api.start();
  redis = await startRedis();
  const [grpcPort, opsPort] = [await freePort(), await freePort()];
  opsUrl = `http://127.0.0.1:${opsPort}`;
  const write = (name: string, content: object | string): void =>
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  write('kubeconfig', {
    clusters: [{ name: 'c', cluster: { server: url } }],
    users: [{ name: 'u', user: { token: ownUsers.authorizer.token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'tiergate' } }],
    'current-context': 'x',
  });
  write('key', 'a key of the counters, long enough to be one');
  write(
    'policy.yaml',
    '[{name: free, groups: [system:authenticated], limits: {requests: [{limit: 100000, window: 1m}]}}]',
  );
  write('authorizer.yaml', {
    instance,
    listeners: { grpc: { address: `127.0.0.1:${grpcPort}` }, ops: { address: `127.0.0.1:${opsPort}` } },
    policy: { file: 'policy.yaml' },
    kubernetes: { kubeconfig: 'kubeconfig' },
    redis: { url: redis.url, keySecretFile: 'key', commandTimeout: '2s' },
    check: { deadline: '10s' },
    identity: { ttl: '10m', maxEntries: tokens },
    access: { allowTtl: '10m' },
    // One source asks for everybody here; what budgets do is shown elsewhere.
    reviews: {
      concurrency: 1_000,
      perSecond: 100_000,
      perSourcePerSecond: 100_000,
      queue: 10_000,
      timeout: '10s',
    },
  });
  const probe = join(import.meta.dirname, 'memory-probe.mjs');
  authorizer = startProgram(['authorizer', '--config', join(folder, 'authorizer.yaml')], {
    nodeArgs: ['--expose-gc', '--import', probe],
    env: { MEMORY_PROBE: join(folder, 'memory') },
    folder,
  });
  await authorizer.said('"event":"ready"');
  client = createCheckClient(`127.0.0.1:${grpcPort}`);
});

afterAll(async () => {
  client.close();
  authorizer.signal('SIGKILL');
  await authorizer.ended;
  await Promise.all([api.stop(), redis.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

interface Memory {
  readonly heapUsed: number;
  readonly rss: number;
  readonly external: number;
}

/** Of the authorizer, after a garbage collection. */
async function memory(): Promise<Memory> {
  const lines = (): readonly string[] => {
    try {
      return readFileSync(join(folder, 'memory'), 'utf8').split('\n').slice(0, -1);
    } catch {
      return [];
    }
  };
  const before = lines().length;
  authorizer.signal('SIGUSR2');
  await expect.poll(() => lines().length, { timeout: 60_000 }).toBeGreaterThan(before);
  return JSON.parse(lines().at(-1) ?? '') as Memory;
}

/** Once the watches have brought all that there is. */
async function memoryAtRest(): Promise<Memory> {
  let before = await memory();
  for (;;) {
    await sleep(3_000);
    const now = await memory();
    if (Math.abs(now.heapUsed - before.heapUsed) < before.heapUsed * 0.005) return now;
    before = now;
  }
}

const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

function tell(what: string, { heapUsed, rss, external }: Memory): void {
  console.log(`${what}: heap ${mib(heapUsed)}, outside the heap ${mib(external)}, RSS ${mib(rss)}`);
}

/** What issuers leave behind: an account for each person, a Secret for each token. */
async function issueTo(from: number, count: number): Promise<void> {
  const signing: Promise<string>[] = [];
  for (let index = from; index < from + count; index += 1) {
    const name = `person-${index}`;
    const metadata = { name, namespace, annotations: { 'tiergate.dev/user': `${name}@example.com` } };
    api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata });
    for (let token = 0; token < tokensOfEach; token += 1) {
      const secretName = `tgt-${index}-${token}`;
      api.apply({
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'tiergate.dev/access-token',
        metadata: { name: secretName, namespace, labels: { 'tiergate.dev/token': 'true' } },
      });
      const order = { namespace, name, secretName, audiences: [`${instance}-sa`], expirationSeconds: 86_400 };
      signing.push(api.issueToken(order));
    }
    // Together as many as a few signatures take; and the watches are read meanwhile.
    if (index % 20 === 19) issued.push(...(await Promise.all(signing.splice(0))));
  }
  issued.push(...(await Promise.all(signing)));
}

let requests = 0;

async function check(token: string | undefined): Promise<void> {
  requests += 1;
  const answer = await client.ask(
    {
      id: `request-${requests}`,
      method: 'POST',
      path: '/llm/llama/v1/chat/completions',
      host: 'gateway',
      source: '10.0.0.1',
      headers: { authorization: `Bearer ${token}` },
    },
    20_000,
  );
  if (!answer.allowed) throw new Error(`${answer.status} ${answer.body}`);
}

/** `count` Checks, some at a time; `place` says whose token the nth has. */
async function checkAll(count: number, place: (at: number) => number): Promise<void> {
  let next = 0;
  const ask = async (): Promise<void> => {
    while (next < count) {
      const at = next;
      next += 1;
      await check(issued[place(at)]);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, ask));
}

async function cached(cache: string): Promise<number> {
  const text = await (await fetch(`${opsUrl}/metrics`)).text();
  return Number(new RegExp(`^tiergate_cache_entries\\{cache="${cache}"\\} (\\d+)$`, 'm').exec(text)?.[1]);
}

it('holds its memory through a million Checks of 100,000 tokens, and its bounds through more', async () => {
  const startedAtMs = performance.now();
  const empty = await memory();
  tell('started', empty);
  await issueTo(0, accounts);
  expect(issued).toHaveLength(tokens);
  const synced = await memoryAtRest();
  tell(`${accounts} accounts and ${tokens} Secrets are watched`, synced);
  const perObject = (synced.heapUsed - empty.heapUsed) / (accounts + tokens);

  // Twice: the second time makes what is made of an answer only when it is used again.
  await checkAll(tokens * 2, (at) => at % tokens);
  const warm = await memory();
  tell('all tokens are known', warm);
  expect(await cached('identity')).toBe(tokens);
  expect(await cached('access')).toBe(accounts);
  const perPrincipal = (warm.heapUsed - synced.heapUsed) / tokens;
  console.log(
    `${perPrincipal.toFixed(0)} bytes for a cached principal with its share of access verdicts, ${perObject.toFixed(0)} for a watched object`,
  );

  const sizes: Memory[] = [];
  const warmAtMs = performance.now();
  for (let done = 0; done < checks; done += measureEvery) {
    await checkAll(measureEvery, (at) => ((done + at) * 7_919) % tokens);
    const now = await memory();
    tell(`${done + measureEvery} Checks later`, now);
    sizes.push(now);
  }
  const perSecond = checks / ((performance.now() - warmAtMs) / 1000);
  console.log(`${perSecond.toFixed(0)} Checks a second, from one client`);
  // Flat: not above what it was at first. Three of each, since what has two generations goes up and down by some 14 MB.
  const mostOf = (some: typeof sizes, what: 'heapUsed' | 'rss') =>
    Math.max(...some.map((size) => size[what]));
  expect(mostOf(sizes.slice(-3), 'heapUsed')).toBeLessThan(mostOf(sizes.slice(0, 3), 'heapUsed') * 1.05);
  expect(mostOf(sizes.slice(-3), 'rss')).toBeLessThan(mostOf(sizes.slice(0, 3), 'rss') * 1.1);

  await issueTo(accounts, moreAccounts);
  await checkAll(moreAccounts * tokensOfEach, (at) => tokens + at);
  const bounded = await memory();
  tell(`${moreAccounts * tokensOfEach} more tokens than the caches hold`, bounded);
  expect(await cached('identity')).toBe(tokens);
  expect(await cached('access')).toBe(accounts + moreAccounts);
  expect(bounded.heapUsed).toBeLessThan(warm.heapUsed * 1.1);
  expect(perPrincipal).toBeLessThan(4_096);

  // An unhandled rejection would have ended it.
  authorizer.signal('SIGTERM');
  const { code, out, err } = await authorizer.ended;
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).not.toMatch(/unhandled_rejection|uncaught_exception|"level":"error"/);
  console.log(`all of it in ${((performance.now() - startedAtMs) / 60_000).toFixed(1)} minutes`);
});
