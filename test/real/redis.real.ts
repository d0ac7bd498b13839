import { setTimeout as sleep } from 'node:timers/promises';

import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type RedisServer, startRedis } from './redis.ts';
import { startRedisCluster, startRedisSentinel } from './redis-groups.ts';

describe('a real Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis({ extraArgs: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  });
  afterAll(() => redis.stop());

  it('answers', async () => {
    expect(await redis.cli('SET', 'a', '1')).toBe('OK');
    expect(await redis.cli('GET', 'a')).toBe('1');
  });

  it('holds back its answers while it is paused, and gives them when it goes on', async () => {
    const client = new Redis(redis.url);
    await client.ping();
    redis.pause();
    let isAnswered = false;
    const answer = client.get('a').finally(() => (isAnswered = true));
    await sleep(200);
    expect(isAnswered).toBe(false);
    redis.resume();
    expect(await answer).toBe('1');
    client.disconnect();
  });

  it('comes back on the same port, with its data where it keeps any', async () => {
    await redis.kill();
    await expect(redis.cli('PING')).rejects.toThrow('Connection refused');
    await redis.restart();
    expect(await redis.cli('GET', 'a')).toBe('1');
  });
});

describe('a real Redis Cluster', () => {
  it('answers for every slot', async () => {
    const group = await startRedisCluster();
    try {
      const [node] = group.nodes;
      for (const key of ['a', 'b', 'c', 'd']) expect(await node?.cli('-c', 'SET', key, key)).toBe('OK');
      for (const key of ['a', 'b', 'c', 'd']) expect(await node?.cli('-c', 'GET', key)).toBe(key);
    } finally {
      await group.stop();
    }
  });
});

describe('a real Redis with sentinels', () => {
  it('makes the replica primary when the primary has died', async () => {
    const group = await startRedisSentinel();
    try {
      const [sentinel] = group.sentinels;
      const primary = (): Promise<string> | undefined =>
        sentinel?.cli('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', group.masterName);
      expect(await primary()).toBe(`127.0.0.1\n${group.primary.port}`);
      await group.primary.kill();
      await expect.poll(primary, { timeout: 20_000 }).toBe(`127.0.0.1\n${group.replica.port}`);
      await expect.poll(() => group.replica.cli('SET', 'a', '1'), { timeout: 10_000 }).toBe('OK');
    } finally {
      await group.stop();
    }
  });
});
