import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { Decision } from '../../src/check/limit.ts';
import { isDependencyError } from '../../src/dependency-error.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import type { RedisTarget } from '../../src/redis/client.ts';
import { createRedisConnection } from '../../src/redis/connection.ts';
import { createRedisConsume } from '../../src/redis/consume.ts';
import { createSecret } from '../../src/secret.ts';
import { startRedisCluster, startRedisSentinel } from '../real/redis-groups.ts';

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

const window: WindowLimit = { scope: '*', unit: 'requests', windowMs: 60_000, limit: 20, mode: 'enforce' };
const charges = [
  { window, cost: 1 },
  { window: { ...window, windowMs: 3_600_000, limit: 1000 }, cost: 1 },
];

async function connect(target: RedisTarget): Promise<(subject: string) => Promise<Decision>> {
  const connection = createRedisConnection({ target, now: Date.now });
  ended.push(connection.close);
  const keySecret = createSecret('a key of the counters');
  const consume = createRedisConsume({ connection, keySecret, now: Date.now, commandTimeoutMs: 1000 });
  expect(await connection.waitUntilReady(10_000)).toBe(true);
  return async (subject) => consume({ subject, id: '', charges, deadlineAtMs: Date.now() + 1000 });
}

const outcomeOf = (decision: Promise<Decision>): Promise<string> =>
  decision.then(
    ({ admitted }) => (admitted ? 'admitted' : 'denied'),
    (error: unknown) => (isDependencyError(error) ? error.code : String(error)),
  );

const addressOf = ({ port }: { readonly port: number }) => ({ host: '127.0.0.1', port });

/** Claims until one is decided; 'admitted' or 'denied', or the last fault. */
async function decidedOutcome(claim: () => Promise<Decision>): Promise<string> {
  const endsAt = performance.now() + 60_000;
  let outcome = '';
  while (performance.now() < endsAt) {
    outcome = await outcomeOf(claim());
    if (outcome === 'denied' || outcome === 'admitted') break;
    await sleep(50);
  }
  return outcome;
}

describe('a Redis Cluster', () => {
  it('admits exactly the limit of each of many subjects, on whichever node their keys are', async () => {
    const cluster = await startRedisCluster();
    ended.push(cluster.stop);
    const target: RedisTarget = { kind: 'cluster', nodes: cluster.nodes.slice(0, 2).map(addressOf) };
    const clients = await Promise.all([connect(target), connect(target)]);
    for (let number = 0; number < 12; number += 1) {
      const outcomes = await Promise.all(
        clients.flatMap((claim) => Array.from({ length: 20 }, () => outcomeOf(claim(`subject-${number}`)))),
      );
      expect(outcomes.filter((outcome) => outcome === 'admitted')).toHaveLength(20);
      expect(outcomes.filter((outcome) => outcome === 'denied')).toHaveLength(20);
    }
  });

  it('is followed to the replicas of a node that is gone, without a restart', async () => {
    const cluster = await startRedisCluster();
    ended.push(cluster.stop);
    const claim = await connect({ kind: 'cluster', nodes: cluster.nodes.map(addressOf) });
    const subjects = Array.from({ length: 30 }, (_, number) => `subject-${number}`);
    await Promise.all(subjects.map(claim));
    const [master] = cluster.nodes;
    // A replica that has not got a first copy is never promoted.
    while (!(await master?.cli('INFO', 'replication'))?.includes('state=online')) await sleep(100);
    await master?.kill();
    const outcomes = await Promise.all(subjects.map((subject) => decidedOutcome(() => claim(subject))));
    expect(new Set(outcomes)).toEqual(new Set(['admitted']));
  });

  it('is told as our misconfiguration when one node of it is taken for a server of its own', async () => {
    const cluster = await startRedisCluster();
    ended.push(cluster.stop);
    const claim = await connect({ kind: 'single', url: cluster.nodes[0]?.url ?? '' });
    const outcomes = await Promise.all(
      Array.from({ length: 30 }, (_, number) => outcomeOf(claim(`subject-${number}`))),
    );
    expect(new Set(outcomes)).toEqual(new Set(['admitted', 'misconfigured']));
  });
});

describe('a primary that sentinels watch', () => {
  it('is followed to its replica when it is gone', async () => {
    const group = await startRedisSentinel();
    ended.push(group.stop);
    const sentinels = group.sentinels.map(addressOf);
    const claim = await connect({ kind: 'sentinel', name: group.masterName, sentinels });
    const outcomes = await Promise.all(Array.from({ length: 40 }, () => outcomeOf(claim('alice'))));
    expect(outcomes.filter((outcome) => outcome === 'admitted')).toHaveLength(20);
    await group.primary.cli('WAIT', '1', '1000');
    await group.primary.kill();
    // The replica had been told of everything, and says so.
    expect(await decidedOutcome(() => claim('alice'))).toBe('denied');
    expect(await outcomeOf(claim('bob'))).toBe('admitted');
  });
});
