import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { atEnd } from '../envoy/serve.ts';
import { startRedis } from '../real/redis.ts';
import { budget, createReserving, endsOf, startSink } from './settling.ts';

const seconds = 60;
const perSecond = 1000;
const tickMs = 100;
const perTick = (perSecond * tickMs) / 1000;

it('a thousand settlements a second for a minute, through the access log into Redis: no queue grows, every token is right', async () => {
  const redis = await startRedis();
  atEnd(redis.stop);
  const { reserve, left } = await createReserving(redis);
  const sink = await startSink(redis);
  const logs = [sink.openLog(), sink.openLog()];

  let deepest = 0;
  let late = 0;
  const depths: number[] = [];
  const startedAtMs = performance.now();
  for (let tick = 0; tick < (seconds * 1000) / tickMs; tick += 1) {
    const ids = await Promise.all(Array.from({ length: perTick }, () => reserve('alice', 100)));
    logs[tick % logs.length]?.write(endsOf(ids, 10));
    const restMs = startedAtMs + (tick + 1) * tickMs - performance.now();
    if (restMs < 0) late += 1;
    else await sleep(restMs);
    deepest = Math.max(deepest, sink.queued());
    if (tick % 100 === 99) depths.push(sink.queued());
  }
  const tookMs = performance.now() - startedAtMs;
  await expect.poll(() => sink.results.settled, { timeout: 10_000 }).toBe(seconds * perSecond);
  console.log(
    `${seconds * perSecond} settlements in ${Math.round(tookMs / 100) / 10} s; queue every 10 s: ${depths.join(' ')}, deepest ${deepest}; ${late} ticks late`,
  );
  expect(sink.results).toEqual({ settled: seconds * perSecond, kept: 0, unknown: 0, given_up: 0 });
  expect(sink.count('dropped')).toBe(0);
  expect(depths.at(-1)).toBeLessThan(2 * perTick);
  expect(await left('alice')).toBe(budget - seconds * perSecond * 10);
});
