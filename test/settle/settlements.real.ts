import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../real/redis.ts';
import { budget, createReserving, endsOf, startSink } from './settling.ts';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

describe("the ends of requests by Envoy's access log, with Redis behind", () => {
  it('settle at one authorizer what was reserved at another', async () => {
    const { reserve, left } = await createReserving(redis);
    const [one, two] = [await startSink(redis), await startSink(redis)];
    const ids = await Promise.all(Array.from({ length: 100 }, () => reserve('both', 100)));
    one.openLog().write(endsOf(ids.slice(0, 50), 10));
    two.openLog().write(endsOf(ids.slice(50), 10));
    await expect.poll(() => one.results.settled + two.results.settled).toBe(100);
    expect(await left('both')).toBe(budget - 1000);
  });

  it('settle once, told twice, in any order, by both, with forged ones and some without usage among them', async () => {
    const { reserve, left } = await createReserving(redis);
    const [one, two] = [await startSink(redis), await startSink(redis)];
    const ids = await Promise.all(Array.from({ length: 100 }, () => reserve('twice', 100)));
    const [told, untold] = [ids.slice(0, 80), ids.slice(80)];
    const forged = told.map((id) => `${id.slice(0, 23)}${'A'.repeat(22)}`);
    const garbage = ['', 'x', 'y'.repeat(45), '../../x'];
    for (const log of [one.openLog(), two.openLog()]) {
      log.write(endsOf(untold, undefined));
      log.write(endsOf([...told.toReversed(), ...forged, ...garbage], 10));
      log.write(endsOf(told, 10));
    }
    const of = (result: 'settled' | 'kept' | 'unknown') => one.results[result] + two.results[result];
    await expect.poll(() => of('settled') + of('kept') + of('unknown')).toBe(2 * (20 + 80 + 80 + 4 + 80));
    expect([of('settled'), of('kept')]).toEqual([80, 40]);
    expect(of('unknown')).toBe(3 * 80 + 2 * 84);
    expect(await left('twice')).toBe(budget - 80 * 10 - 20 * 100);
  });

  it('wait while Redis hangs, and are settled when it goes on', async () => {
    const { reserve, left } = await createReserving(redis);
    const sink = await startSink(redis);
    const ids = await Promise.all(Array.from({ length: 300 }, () => reserve('hung', 100)));
    redis.pause();
    try {
      sink.openLog().write(endsOf(ids, 10));
      await expect.poll(() => sink.count('entry')).toBe(300);
      await expect.poll(() => sink.queued()).toBe(300 - 256);
      expect(sink.results.settled).toBe(0);
    } finally {
      redis.resume();
    }
    await expect.poll(() => sink.results.settled, { timeout: 20_000 }).toBe(300);
    expect(sink.queued()).toBe(0);
    expect(await left('hung')).toBe(budget - 300 * 10);
  });

  it('are dropped and counted where more come than the sink can hold, and what they reserved stays charged', async () => {
    const { reserve, left } = await createReserving(redis);
    const sink = await startSink(redis, { maxQueued: 200 });
    const ids = await Promise.all(Array.from({ length: 500 }, () => reserve('flood', 100)));
    sink.openLog().write(endsOf(ids, 10));
    await expect.poll(() => sink.count('entry')).toBe(500);
    await sink.whenIdle();
    expect(sink.count('dropped')).toBe(300);
    expect(sink.results.settled).toBe(200);
    expect(await left('flood')).toBe(budget - 200 * 10 - 300 * 100);
  });
});
