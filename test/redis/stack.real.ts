import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { Charge } from '../../src/check/limit.ts';
import type { RedisTarget } from '../../src/redis/client.ts';
import { createSecret } from '../../src/secret.ts';
import { type RedisServer, startRedis } from '../real/redis.ts';
import { startRedisCluster, startRedisSentinel } from '../real/redis-groups.ts';
import { countOf, type Stack, type StackOptions, startStack, windowOf } from './stack.ts';

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

async function start(extraArgs: readonly string[] = []): Promise<RedisServer> {
  const server = await startRedis({ extraArgs });
  ended.push(server.stop);
  return server;
}

async function stack(options: StackOptions): Promise<Stack> {
  const started = await startStack(options);
  ended.push(started.stop);
  return started;
}

const single = ({ url }: RedisServer): RedisTarget => ({ kind: 'single', url });
const addressOf = ({ port }: { readonly port: number }) => ({ host: '127.0.0.1', port });
const twenty = [{ window: windowOf(20), cost: 1 }];
const look = [{ window: windowOf(20), cost: 0 }];
/** A shadow limit keeps leases away: what is charged is what was let pass. */
const many: readonly Charge[] = [
  { window: windowOf(100_000), cost: 1 },
  { window: { ...windowOf(100_000, 180_000), mode: 'shadow' }, cost: 1 },
];
const manyLook = [{ window: windowOf(100_000), cost: 0 }];

/** Exactly twenty of each crowd, by one process and by three. */
async function expectTwenty(target: RedisTarget): Promise<void> {
  const three = await Promise.all([stack({ target }), stack({ target }), stack({ target })]);
  for (const processes of [three.slice(0, 1), three]) {
    for (const crowd of [25, 50, 100, 400]) {
      const subject = `${processes.length}-${crowd}`;
      const share = Math.ceil(crowd / processes.length);
      const outcomes = (
        await Promise.all(processes.map(({ claimAll }) => claimAll(share, { subject })))
      ).flat();
      expect([subject, countOf(outcomes, 'admitted'), countOf(outcomes, 'denied')]).toEqual([
        subject,
        20,
        share * processes.length - 20,
      ]);
    }
  }
}

describe('exactly twenty of 25, 50, 100 and 400 pass, by one process and by three', () => {
  it('on a single Redis', async () => {
    await expectTwenty(single(await start()));
  });

  it('on a Redis Cluster of six', async () => {
    const cluster = await startRedisCluster();
    ended.push(cluster.stop);
    await expectTwenty({ kind: 'cluster', nodes: cluster.nodes.map(addressOf) });
  });
});

describe('a Redis that is stopped under load', () => {
  it('costs no answer its deadline, and is exact again within a second of going on', async () => {
    const server = await start();
    const options = { target: single(server), commandTimeoutMs: 50, deadlineMs: 150 };
    const process = await stack({ ...options, onStoreUnavailable: 'local', processes: 4 });
    expect((await process.claim()).admitted).toBe(true);
    server.pause();
    const waitedMs: number[] = [];
    const outcomes: string[] = [];
    const endsAt = performance.now() + 1500;
    while (performance.now() < endsAt) {
      const sentAt = performance.now();
      outcomes.push(...(await process.claimAll(10)));
      waitedMs.push(performance.now() - sentAt);
      await sleep(10);
    }
    expect(Math.max(...waitedMs)).toBeLessThan(150);
    // A pause, and then the connection made anew: no more than these wait for a time-out.
    expect(waitedMs.filter((ms) => ms > 40).length).toBeLessThanOrEqual(3);
    expect(countOf(outcomes, 'admitted')).toBe(5);
    expect(countOf(outcomes, 'denied')).toBe(outcomes.length - 5);
    server.resume();
    const resumedAt = performance.now();
    while (!(await process.tellStore())) await sleep(10);
    expect(performance.now() - resumedAt).toBeLessThan(1000);
    // One before, five meanwhile; the rest is there for whoever asks.
    const other = await stack(options);
    expect((await other.claim({ charges: look })).windows[0]?.remaining).toBe(14);
    const after = (await Promise.all([process.claimAll(20), other.claimAll(20)])).flat();
    expect(countOf(after, 'admitted')).toBe(14);
  });

  it.each(['deny', 'allow'] as const)('%s holds for every request of it', async (onStoreUnavailable) => {
    const server = await start();
    const process = await stack({
      target: single(server),
      commandTimeoutMs: 50,
      deadlineMs: 150,
      onStoreUnavailable,
    });
    server.pause();
    const first = await process.claimAll(30);
    const sentAt = performance.now();
    const later = await process.claimAll(30);
    expect(performance.now() - sentAt).toBeLessThan(40);
    const expected = onStoreUnavailable === 'allow' ? 'admitted' : 'timeout';
    expect(countOf([...first, ...later], expected)).toBe(60);
    server.resume();
  });
});

describe('a Redis that refuses', () => {
  it.each<readonly [string, readonly string[], readonly string[]]>([
    ['full', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0']],
    ['read-only', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE']],
  ])('%s, is away until it does not', async (_why, breakIt, mendIt) => {
    const server = await start(['--maxmemory-policy', 'noeviction']);
    const process = await stack({ target: single(server), onStoreUnavailable: 'local', processes: 4 });
    expect((await process.claim()).admitted).toBe(true);
    await server.cli(...breakIt);
    expect(countOf(await process.claimAll(20), 'admitted')).toBe(5);
    await server.cli(...mendIt);
    const mendedAt = performance.now();
    while (!(await process.tellStore())) await sleep(10);
    expect(performance.now() - mendedAt).toBeLessThan(1000);
    expect((await process.claim({ charges: look })).windows[0]?.remaining).toBe(14);
    expect(countOf(await process.claimAll(20), 'admitted')).toBe(14);
  });
});

describe('what was acknowledged', () => {
  it('is counted still after a kill, with appendfsync always', async () => {
    const server = await start(['--appendonly', 'yes', '--appendfsync', 'always']);
    const process = await stack({ target: single(server) });
    let acknowledged = 0;
    const load = (async () => {
      for (;;) {
        const outcomes = await process.claimAll(20, { charges: many });
        acknowledged += countOf(outcomes, 'admitted');
        if (countOf(outcomes, 'admitted') < 20) return;
      }
    })();
    await sleep(700);
    await server.kill();
    await load;
    await server.restart();
    const other = await stack({ target: single(server) });
    const { windows } = await other.claim({ charges: manyLook });
    const counted = 100_000 - (windows[0]?.remaining ?? 0);
    console.info(`${acknowledged} acknowledged, ${counted} counted after the kill`);
    expect(acknowledged).toBeGreaterThan(100);
    expect(counted).toBeGreaterThanOrEqual(acknowledged);
  });
});

/**
 * Loads it until the kill, waits for the failover, and tells how many acknowledged charges the new master has not got.
 * Fewer than none: some were charged whose answer got lost.
 */
async function lostByFailover(process: Stack, kill: () => Promise<void>): Promise<number> {
  let acknowledged = 0;
  const killed = new AbortController();
  const load = (async () => {
    while (!killed.signal.aborted) {
      const outcomes = await process.claimAll(10, { charges: many });
      acknowledged += countOf(outcomes, 'admitted');
      await sleep(2);
    }
  })();
  await sleep(500);
  await kill();
  killed.abort();
  await load;
  const endsAt = performance.now() + 20_000;
  for (;;) {
    try {
      const { windows } = await process.claim({ charges: manyLook });
      const counted = 100_000 - (windows[0]?.remaining ?? 0);
      console.info(`${acknowledged} acknowledged, ${counted} counted after the failover`);
      return acknowledged - counted;
    } catch (error) {
      if (performance.now() > endsAt) throw error;
      await sleep(50);
    }
  }
}

describe('after a failover', () => {
  it('of a primary that sentinels watch, no more is lost than its replica had not got', async () => {
    const group = await startRedisSentinel();
    ended.push(group.stop);
    const sentinels = group.sentinels.map(addressOf);
    const process = await stack({ target: { kind: 'sentinel', name: group.masterName, sentinels } });
    // Half a millisecond on loopback; what is charged in ten is far more than its lag.
    expect(await lostByFailover(process, group.primary.kill)).toBeLessThanOrEqual(50);
    expect(countOf(await process.claimAll(30, { subject: 'bob', charges: twenty }), 'admitted')).toBe(20);
  });

  it('of a node of a Redis Cluster, no more is lost than its replica had not got', async () => {
    const cluster = await startRedisCluster();
    ended.push(cluster.stop);
    const process = await stack({ target: { kind: 'cluster', nodes: cluster.nodes.map(addressOf) } });
    await process.claim({ charges: manyLook });
    const owner = await ownerOf(cluster.nodes, process);
    expect(await lostByFailover(process, owner.kill)).toBeLessThanOrEqual(50);
    expect(countOf(await process.claimAll(30, { subject: 'bob', charges: twenty }), 'admitted')).toBe(20);
  });
});

/** The node that has alice's counters: where a key of hers appears. Its replica has its first copy. */
async function ownerOf(nodes: readonly RedisServer[], process: Stack): Promise<RedisServer> {
  await process.claim();
  for (const node of nodes) {
    const info = await node.cli('INFO', 'replication');
    if (!info.includes('role:master') || (await node.cli('DBSIZE')) === '0') continue;
    while (!(await node.cli('INFO', 'replication')).includes('state=online')) await sleep(100);
    return node;
  }
  throw new Error('no node has a key');
}

describe('a user of the ACL that is documented', () => {
  const documented = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8');
  const [, rules = ''] = /^ACL SETUSER tiergate on >PASSWORD (.+)$/m.exec(documented) ?? [];
  const [, ofCluster = ''] = /of a Redis Cluster, besides that: `([^`]+)`/.exec(documented) ?? [];
  const setUser = (server: RedisServer, more = '') =>
    server.cli('ACL', 'SETUSER', 'tiergate', 'on', '>secret', ...`${rules}${more}`.split(' '));
  const user = { username: createSecret('tiergate'), password: createSecret('secret') };
  const busy = [{ window: windowOf(10_000), cost: 1 }];

  /** Plain claims, blocks and their return. */
  async function expectAllowed(process: Stack): Promise<void> {
    expect(countOf(await process.claimAll(30), 'admitted')).toBe(20);
    for (let count = 0; count < 30; count += 1)
      expect((await process.claim({ charges: busy })).admitted).toBe(true);
    await sleep(250);
    const { windows } = await process.claim({ charges: [{ window: windowOf(10_000), cost: 0 }] });
    // The twenty of before are of the same counter: its key holds no limit.
    expect(10_000 - (windows[0]?.remaining ?? 0)).toBe(50);
  }

  it('may do all that claims and leases need on a single Redis', async () => {
    const server = await start();
    await setUser(server);
    await expectAllowed(await stack({ target: single(server), ...user }));
  });

  it('may do all that they need on a Redis Cluster', async () => {
    const cluster = await startRedisCluster();
    ended.push(cluster.stop);
    for (const node of cluster.nodes) await setUser(node, ` ${ofCluster}`);
    await expectAllowed(
      await stack({ target: { kind: 'cluster', nodes: cluster.nodes.map(addressOf) }, ...user }),
    );
  });
});
