import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { Charge, Claim, Decision } from '../../src/check/limit.ts';
import { isDependencyError } from '../../src/dependency-error.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import {
  createRedisConnection,
  type RedisConnection,
  type RedisConnectionOptions,
} from '../../src/redis/connection.ts';
import { createRedisConsume } from '../../src/redis/consume.ts';
import { createSecret } from '../../src/secret.ts';
import { createCertificateAuthority } from '../real/certificates.ts';
import { type FaultProxy, startFaultProxy } from '../real/fault-proxy.ts';
import { freePort } from '../real/free-port.ts';
import { type RedisServer, startRedis } from '../real/redis.ts';

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

const window: WindowLimit = { scope: '*', unit: 'requests', windowMs: 60_000, limit: 20, mode: 'enforce' };
const one: readonly Charge[] = [{ window, cost: 1 }];
const look: readonly Charge[] = [{ window, cost: 0 }];

async function start(extraArgs: readonly string[] = []): Promise<RedisServer> {
  const server = await startRedis({ extraArgs });
  ended.push(server.stop);
  return server;
}

async function proxy(server: RedisServer): Promise<FaultProxy> {
  const started = await startFaultProxy(server.port);
  ended.push(started.stop);
  return started;
}

interface Counters {
  readonly connection: RedisConnection;
  readonly claim: (more?: Partial<Claim>) => Promise<Decision>;
  /** Claims so many times at once; how each ended: `admitted`, `denied` or the code of the fault. */
  readonly claimAll: (count: number, more?: Partial<Claim>) => Promise<readonly string[]>;
  readonly used: () => Promise<number>;
}

interface CountersOptions extends Partial<RedisConnectionOptions> {
  readonly commandTimeoutMs?: number;
}

/** One process' worth of it, for the subject alice. */
async function connect(
  url: string,
  { commandTimeoutMs = 1000, ...more }: CountersOptions = {},
): Promise<Counters> {
  const options = { target: { kind: 'single', url }, now: Date.now, ...more } as const;
  const connection = createRedisConnection(options);
  ended.push(connection.close);
  const keySecret = createSecret('a key of the counters');
  const consume = createRedisConsume({ connection, keySecret, now: options.now, commandTimeoutMs });
  await settled(connection);
  const claim = async (claimed: Partial<Claim> = {}): Promise<Decision> =>
    consume({ subject: 'alice', id: '', charges: one, deadlineAtMs: options.now() + 5000, ...claimed });
  return {
    connection,
    claim,
    claimAll: (count, claimed) =>
      Promise.all(
        Array.from({ length: count }, () =>
          claim(claimed).then(
            ({ admitted }) => (admitted ? 'admitted' : 'denied'),
            (error: unknown) => (isDependencyError(error) ? error.code : String(error)),
          ),
        ),
      ),
    used: async () => {
      const { windows } = await claim({ charges: look });
      return window.limit - (windows[0]?.remaining ?? 0);
    },
  };
}

/** Waits until it is ready, or knows that it will not be. */
async function settled({ state }: RedisConnection): Promise<void> {
  const endsAt = performance.now() + 5000;
  while (state().phase === 'connecting' && state().fault === undefined && performance.now() < endsAt) {
    await sleep(5);
  }
}

const countOf = (outcomes: readonly string[], outcome: string) =>
  outcomes.filter((each) => each === outcome).length;

/** Claims until one is decided; how long that took. */
async function serviceAgainMs({ claim }: Counters): Promise<number> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < 5000) {
    const decided = await claim({ charges: look }).then(
      () => true,
      () => false,
    );
    if (decided) break;
    await sleep(5);
  }
  return performance.now() - startedAt;
}

describe('claims of several processes', () => {
  it('are admitted exactly up to the limit: 400 at once over two connections, five times of five', async () => {
    const server = await start();
    const both = await Promise.all([connect(server.url), connect(server.url)]);
    for (let round = 0; round < 5; round += 1) {
      const subject = `round-${round}`;
      const outcomes = (await Promise.all(both.map(({ claimAll }) => claimAll(200, { subject })))).flat();
      expect([countOf(outcomes, 'admitted'), countOf(outcomes, 'denied')]).toEqual([20, 380]);
    }
  });

  it('are charged once for an id, whoever retries it', async () => {
    const server = await start();
    const [one_, other] = await Promise.all([connect(server.url), connect(server.url)]);
    await Promise.all([one_.claimAll(5, { id: '4711' }), other.claimAll(5, { id: '4711' })]);
    expect(await one_.used()).toBe(1);
  });

  it('are one script call each, which sends neither script nor anything else', async () => {
    const server = await start();
    const { claimAll } = await connect(server.url);
    await server.cli('CONFIG', 'RESETSTAT');
    await claimAll(50, { id: 'x' });
    await claimAll(50);
    const calls = Object.fromEntries(
      Array.from(
        (await server.cli('INFO', 'commandstats')).matchAll(/cmdstat_(\S+):calls=(\d+)/g),
        (stat) => [stat[1], Number(stat[2])],
      ),
    );
    expect(calls['evalsha']).toBe(100);
    expect(Object.keys(calls).filter((name) => /^(eval|script|multi|watch)/.test(name))).toEqual(['evalsha']);
  });

  it('go on when the server has lost its scripts', async () => {
    const server = await start();
    const { claimAll, used } = await connect(server.url);
    await claimAll(3);
    await server.cli('SCRIPT', 'FLUSH');
    expect(countOf(await claimAll(10), 'admitted')).toBe(10);
    expect(await used()).toBe(13);
  });

  it('leave only keys with an end, and none that tells a subject or a limit', async () => {
    const server = await start();
    const { claim } = await connect(server.url);
    const charges = [
      { window: { ...window, limit: 987_654 }, cost: 1 },
      { window: { ...window, windowMs: 3_600_000, limit: 987_654, mode: 'shadow' }, cost: 1 },
    ] as const;
    await claim({ subject: 'system:serviceaccount:team-a:alice', id: 'a b c', charges });
    await claim({ subject: 'bob@example.com', id: '1', charges });
    const keys = (await server.cli('KEYS', '*')).split('\n');
    expect(keys).toHaveLength(6);
    for (const key of keys) {
      expect(key).toMatch(/^tg:\{[\w-]{22}\}:(w:\*:requests:(60000|3600000)|r:(1|~[\w-]{43}))$/);
      expect(Number(await server.cli('PTTL', key))).toBeGreaterThan(0);
    }
  });

  it.each([3_600_000, -3_600_000])('do not mind a local clock that is %i ms off', async (offMs) => {
    const server = await start();
    const counters = await connect(server.url, { now: () => Date.now() + offMs });
    expect(countOf(await counters.claimAll(10), 'admitted')).toBe(10);
    server.pause();
    expect(countOf(await counters.claimAll(5, { deadlineAtMs: Date.now() + offMs + 100 }), 'timeout')).toBe(
      5,
    );
    server.resume();
    expect(await counters.used()).toBe(10);
  });
});

describe('a server that hangs', () => {
  it('costs no claim more than its deadline, and charges none of them when it goes on', async () => {
    const server = await start();
    const { claimAll, used } = await connect(server.url, { commandTimeoutMs: 100 });
    expect(countOf(await claimAll(3), 'admitted')).toBe(3);
    server.pause();
    const startedAt = performance.now();
    const outcomes = (await Promise.all([claimAll(150), sleep(30).then(() => claimAll(150))])).flat();
    expect(performance.now() - startedAt).toBeLessThan(400);
    expect(countOf(outcomes, 'timeout')).toBe(300);
    server.resume();
    await sleep(200);
    expect(await used()).toBe(3);
  });

  it('is left for a new connection after a while, and serves again within a second of going on', async () => {
    const server = await start();
    const counters = await connect(server.url, { commandTimeoutMs: 50, stallTimeoutMs: 300 });
    await counters.claimAll(5);
    server.pause();
    await counters.claimAll(20);
    await sleep(1500);
    expect(counters.connection.state()).toMatchObject({ phase: 'connecting', fault: { code: 'timeout' } });
    server.resume();
    expect(await serviceAgainMs(counters)).toBeLessThan(1000);
    expect(await counters.used()).toBe(5);
  });

  it('holds no more claims than allowed, and turns the rest away at once', async () => {
    const server = await start();
    const { claimAll } = await connect(server.url, { commandTimeoutMs: 100, maxPending: 50 });
    server.pause();
    const outcomes = await claimAll(80);
    expect([countOf(outcomes, 'timeout'), countOf(outcomes, 'overloaded')]).toEqual([50, 30]);
    server.resume();
  });
});

describe('a server that is gone', () => {
  it('is told as unreachable at once, and serves again within a second of its return', async () => {
    const server = await start();
    const counters = await connect(server.url);
    await counters.claimAll(5);
    await server.kill();
    const startedAt = performance.now();
    expect(new Set(await counters.claimAll(20))).toEqual(new Set(['unreachable']));
    expect(performance.now() - startedAt).toBeLessThan(200);
    await sleep(1500);
    await server.restart();
    expect(await serviceAgainMs(counters)).toBeLessThan(1000);
    // It kept nothing on disk.
    expect(countOf(await counters.claimAll(25), 'admitted')).toBe(20);
  });

  it('is told at start, and found when it comes', async () => {
    const server = await start();
    await server.kill();
    const connection = createRedisConnection({ target: { kind: 'single', url: server.url }, now: Date.now });
    ended.push(connection.close);
    expect(await connection.waitUntilReady(300)).toBe(false);
    expect(connection.state()).toMatchObject({ phase: 'connecting', fault: { code: 'unreachable' } });
    await server.restart();
    expect(await connection.waitUntilReady(1000)).toBe(true);
    expect(connection.state().fault).toBeUndefined();
  });

  it('never has a claim sent to it twice: a reply that got lost is a charge at most once', async () => {
    const server = await start();
    const between = await proxy(server);
    const counters = await connect(`redis://127.0.0.1:${between.port}`);
    await between.slow(300);
    const outcomes = counters.claimAll(10);
    await sleep(100);
    between.cut();
    expect(new Set(await outcomes)).toEqual(new Set(['unreachable']));
    await between.pass();
    await serviceAgainMs(counters);
    expect(await counters.used()).toBe(10);
  });

  it('answers late: claims end as time-outs, and are exact again when it is quick', async () => {
    const server = await start();
    const between = await proxy(server);
    const counters = await connect(`redis://127.0.0.1:${between.port}`, { commandTimeoutMs: 60 });
    await between.slow(150);
    expect(countOf(await counters.claimAll(5), 'timeout')).toBe(5);
    await between.pass();
    await sleep(200);
    // Charged before their time was over, though nobody was told.
    expect(await counters.used()).toBe(5);
    expect(countOf(await counters.claimAll(30), 'admitted')).toBe(15);
  });
});

describe('a server that refuses', () => {
  it('charges nothing at all when its memory is full, and goes on when it is not', async () => {
    const server = await start(['--maxmemory-policy', 'noeviction']);
    const { claim, used } = await connect(server.url);
    const charges = [...one, { window: { ...window, windowMs: 3_600_000 }, cost: 1 }];
    await claim({ charges });
    await server.cli('CONFIG', 'SET', 'maxmemory', '1');
    await expect(claim({ charges, id: '1' })).rejects.toMatchObject({ dependency: 'redis', code: 'failed' });
    expect(await used()).toBe(1);
    await server.cli('CONFIG', 'SET', 'maxmemory', '0');
    expect((await claim({ charges, id: '1' })).windows.map(({ remaining }) => remaining)).toEqual([18, 18]);
  });

  it('is a replica: claims fail, and pass without a restart when it is promoted', async () => {
    const primary = await start();
    const replica = await start(['--replicaof', '127.0.0.1', String(primary.port)]);
    const counters = await connect(replica.url);
    expect(await counters.claimAll(1)).toEqual(['failed']);
    await replica.cli('REPLICAOF', 'NO', 'ONE');
    await serviceAgainMs(counters);
    expect(countOf(await counters.claimAll(25), 'admitted')).toBe(20);
  });

  it('wants a password: wrong or missing is our misconfiguration, and no error tells it', async () => {
    const server = await start();
    await server.cli('CONFIG', 'SET', 'requirepass', 'correct horse');
    const states: string[] = [];
    const options: CountersOptions = { onStateChange: (state) => states.push(inspect(state, { depth: 10 })) };
    const faults = [
      await connect(server.url, options),
      await connect(server.url, { ...options, password: createSecret('hunter2') }),
    ];
    for (const counters of faults) {
      const error: unknown = await counters.claim().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ dependency: 'redis', code: 'misconfigured' });
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('hunter2');
    }
    expect(states.length).toBeGreaterThan(0);
    expect(states.join('\n')).not.toContain('hunter2');
    const right = await connect(server.url, { password: createSecret('correct horse') });
    expect(await right.claimAll(1)).toEqual(['admitted']);
  });

  it('lets a user of its own do no more than claims need', async () => {
    const server = await start();
    const rules =
      '~tg:* +@connection +info +time +eval +evalsha +script|load +mget +exists +set +pttl +pexpire';
    await server.cli('ACL', 'SETUSER', 'tiergate', 'on', '>secret-password', ...rules.split(' '));
    await server.cli(
      'ACL',
      'SETUSER',
      'reader',
      'on',
      '>secret-password',
      '~tg:*',
      '+@connection',
      '+info',
      '+time',
    );
    const password = createSecret('secret-password');
    const right = await connect(server.url, { username: createSecret('tiergate'), password });
    expect(countOf(await right.claimAll(30, { id: '' }), 'admitted')).toBe(20);
    const wrong = await connect(server.url, { username: createSecret('reader'), password });
    expect(await wrong.claimAll(1)).toEqual(['misconfigured']);
  });
});

describe('a server behind TLS', () => {
  it('is trusted by its authority, and told who we are by our certificate', async () => {
    const authority = createCertificateAuthority('counters');
    const files = await tlsFiles(authority.caPem, authority.issue('redis', ['localhost', '127.0.0.1']));
    const tlsPort = await freePort();
    await start(['--tls-port', String(tlsPort), ...files]);
    const client = authority.issue('tiergate', ['tiergate']);
    const tls = { ca: authority.caPem, cert: client.certPem, key: createSecret(client.keyPem) };
    const counters = await connect(`rediss://localhost:${tlsPort}`, { tls });
    expect(countOf(await counters.claimAll(30), 'admitted')).toBe(20);
    const strangers = { ...tls, ca: createCertificateAuthority('somebody else').caPem };
    const distrusting = await connect(`rediss://localhost:${tlsPort}`, { tls: strangers });
    expect(await distrusting.claimAll(1)).toEqual(['misconfigured']);
  });
});

/** redis-server's arguments for a certificate of its own and for clients of that authority. */
async function tlsFiles(
  ca: string,
  { certPem, keyPem }: { readonly certPem: string; readonly keyPem: string },
): Promise<readonly string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'tiergate-redis-tls-'));
  ended.push(() => rm(directory, { recursive: true, force: true }));
  const args: string[] = [];
  for (const [name, text] of [
    ['ca-cert', ca],
    ['cert', certPem],
    ['key', keyPem],
  ] as const) {
    const path = join(directory, `${name}.pem`);
    await writeFile(path, text);
    args.push(`--tls-${name}-file`, path);
  }
  return args;
}
