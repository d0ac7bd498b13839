import { randomUUID } from 'node:crypto';
import type { Consume, Decision } from '../check/limit.ts';
import type { ResetCounters, SetBoost } from '../check/boost.ts';
import { createMemoryCounters } from '../check/memory-consume.ts';
import type { Settle } from '../check/settlement.ts';
import { createStoreOutage, tellAgainMs } from '../check/store-outage.ts';
import { isDependencyError } from '../dependency-error.ts';
import type { Config } from '../process/config.ts';
import type { Events } from '../process/events.ts';
import type { Lifecycle } from '../process/lifecycle.ts';
import { createLimitMetrics, type LimitMetrics } from '../process/limit-metrics.ts';
import type { Metrics, RedisResult } from '../process/metrics.ts';
import type { Readiness } from '../process/readiness.ts';
import { readSecretFile } from '../process/secret-file.ts';
import { createRedisBoosts } from '../redis/boosts.ts';
import { createRedisConsume } from '../redis/consume.ts';
import { createRedisSettle } from '../redis/settle.ts';
import { type AuthorizerPart, wordsOf } from './authorizer-health.ts';
import { connectRedis } from './connect-redis.ts';

export interface CountersOptions {
  readonly config: Config;
  readonly lifecycle: Lifecycle;
  readonly health: Pick<Readiness<AuthorizerPart>, 'ready' | 'degraded'>;
  readonly metrics: Metrics;
  readonly events: Events;
}

/** Soon after Redis is back, and seldom enough to cost nothing while it is not. */
const tellEveryMs = 250;

/** All that is done with counters. */
export interface Counters {
  readonly consume: Consume;
  readonly settle: Settle;
  readonly setBoost: SetBoost;
  readonly resetCounters: ResetCounters;
}

/** The store of the counters → the ports on it. Does not wait for Redis: started without it, the policy for outages applies. */
export async function connectCounters(options: CountersOptions): Promise<Counters> {
  const { config, lifecycle, health, metrics, events } = options;
  const { redis, limits, workers } = config;
  if (redis === undefined) {
    health.ready('redis');
    return createMemoryCounters({ now: Date.now });
  }
  const warn = (words: string) => events.advice({ words });
  const keySecret = readSecretFile(redis.keySecretFile, warn);
  const connection = await lifecycle.start({
    name: 'redis',
    start: () =>
      connectRedis({
        redis,
        warn,
        onStateChange({ phase, fault }) {
          metrics.setRedisUp(phase === 'ready');
          if (phase === 'ready') health.ready('redis');
          else health.degraded('redis', fault === undefined ? 'not connected' : wordsOf(fault));
        },
      }),
    stop: (started) => started.close(),
  });
  const limitMetrics = createLimitMetrics(metrics.registry);
  const counters = { connection, keySecret, now: Date.now, commandTimeoutMs: redis.commandTimeoutMs };
  const observed = { metrics, limitMetrics };
  const { consume } = await lifecycle.start({
    name: 'counters',
    start() {
      const outage = createStoreOutage({
        store: observedConsume('reserve', createRedisConsume(counters), observed),
        tell: observedConsume(
          'tell',
          createRedisConsume({ ...counters, recordTtlMs: tellAgainMs }),
          observed,
        ),
        now: Date.now,
        processes: limits.expectedReplicas * workers,
        onStoreUnavailable: limits.onStoreUnavailable,
        newId: randomUUID,
        onAnswer: limitMetrics.withoutStore,
        onTold: limitMetrics.toldAfterwards,
      });
      const telling = setInterval(() => void outage.tellStore(), tellEveryMs).unref();
      return { ...outage, telling };
    },
    async stop({ telling, tellStore }) {
      clearInterval(telling);
      await tellStore();
    },
  });
  return {
    consume,
    settle: observedSettle(createRedisSettle({ connection, keySecret, now: Date.now }), metrics),
    ...createRedisBoosts({ connection, keySecret }),
  };
}

interface ObservedMetrics {
  readonly metrics: Metrics;
  readonly limitMetrics: LimitMetrics;
}

/** The same port, with every call that is sent counted and timed, and every other one counted. */
function observedConsume(
  command: string,
  consume: Consume,
  { metrics, limitMetrics }: ObservedMetrics,
): Consume {
  return (claim) => {
    const startedAtMs = performance.now();
    const observe = (result: RedisResult) =>
      metrics.observeRedis(command, result, (performance.now() - startedAtMs) / 1000);
    let sent: Decision | Promise<Decision>;
    try {
      sent = consume(claim);
    } catch (error) {
      if (isDependencyError(error)) limitMetrics.notSent(error.code);
      throw error;
    }
    if (!(sent instanceof Promise)) return sent;
    return sent.then(
      (decision) => {
        observe('ok');
        return decision;
      },
      (error: unknown) => {
        observe(isDependencyError(error) ? error.code : 'bug');
        if (isDependencyError(error) && isInDoubt[error.code] === true) limitMetrics.perhapsCharged();
        throw error;
      },
    );
  };
}

/** Faults after which a claim may have been charged; after the others Redis has said that it was not. */
const isInDoubt: Partial<Record<RedisResult, boolean>> = { timeout: true, unreachable: true };

/** The same port, with every settlement counted and timed; nobody waits for one, so its faults are seen here. */
function observedSettle(settle: Settle, { observeRedis }: Metrics): Settle {
  return async (settlement) => {
    const startedAtMs = performance.now();
    let result: RedisResult = 'bug';
    try {
      const settled = await settle(settlement);
      result = 'ok';
      return settled;
    } catch (error) {
      if (isDependencyError(error)) result = error.code;
      throw error;
    } finally {
      observeRedis('settle', result, (performance.now() - startedAtMs) / 1000);
    }
  };
}
