import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTakeScript, releaseScript } from '../../src/redis/slot-script.ts';
import { type RedisServer, startRedis } from '../real/redis.ts';

/** The script with a clock that the test sets. */
const script = createTakeScript(`local now = tonumber(ARGV[5])`);
const key = 'tg:{AAAAAAAAAAAAAAAAAAAAAA}:s';
const leaseUs = 60_000_000;
const startUs = 1_795_000_000_123_457;

describe('the script that takes a slot', () => {
  let server: RedisServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await startRedis();
    redis = new Redis(server.port);
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  const take = (name: string, nowUs: number, limit = 2, notAfterUs = Number.MAX_SAFE_INTEGER) =>
    redis.eval(script, 1, key, notAfterUs, leaseUs, limit, name, nowUs) as Promise<readonly unknown[]>;

  it('says when the lease ends, to the microsecond, and lets the key end after it', async () => {
    await redis.flushall();
    expect(await take('a', startUs)).toEqual([1, startUs, String(startUs + leaseUs), 1]);
    const ttlMs = await redis.pttl(key);
    expect(ttlMs).toBeGreaterThan(leaseUs / 1000);
    expect(ttlMs).toBeLessThanOrEqual(leaseUs / 1000 + 2000);
  });

  it('tells two attempts of the same microsecond apart', async () => {
    await redis.flushall();
    await take('a', startUs);
    expect(await take('a', startUs)).toEqual([1, startUs, String(startUs + leaseUs + 1), 1]);
    expect(await redis.eval(releaseScript, 1, key, 'a', String(startUs + leaseUs))).toBe(0);
    expect(await redis.eval(releaseScript, 1, key, 'a', String(startUs + leaseUs + 1))).toBe(1);
  });

  it('ends a lease at its end, and no microsecond before', async () => {
    await redis.flushall();
    await take('a', startUs, 1);
    expect((await take('b', startUs + leaseUs - 1, 1))[0]).toBe(0);
    expect((await take('b', startUs + leaseUs, 1))[0]).toBe(1);
  });

  it('holds nothing for longer than a lease after its clock was set back', async () => {
    await redis.flushall();
    await take('a', startUs, 1);
    const backUs = startUs - 3_600_000_000;
    expect((await take('b', backUs, 1))[0]).toBe(0);
    expect((await take('b', backUs + leaseUs, 1))[0]).toBe(1);
  });

  it('takes nothing after its deadline', async () => {
    await redis.flushall();
    expect(await take('a', startUs, 1, startUs - 1)).toEqual([-1, startUs, '0', 0]);
    expect(await redis.exists(key)).toBe(0);
  });
});
