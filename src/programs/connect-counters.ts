import { randomUUID } from 'node:crypto';
import { createLeases } from '../check/lease.ts';
import type { Consume } from '../check/limit.ts';
import type { ResetCounters, SetBoost } from '../check/boost.ts';
import { createMemoryCounters } from '../check/memory-consume.ts';
import { createMemorySlots } from '../check/memory-slots.ts';
import type { ReservationNames } from '../check/reservation.ts';
import type { Settle, SettleTokens } from '../check/settlement.ts';
import type { Slots } from '../check/slot.ts';
import { createSlotOutage } from '../check/slot-outage.ts';
import { createStoreOutage, tellAgainMs } from '../check/store-outage.ts';
import type { Config } from '../process/config.ts';
import type { Events } from '../process/events.ts';
import type { Lifecycle } from '../process/lifecycle.ts';
import { createLimitMetrics } from '../process/limit-metrics.ts';
import type { Metrics } from '../process/metrics.ts';
import type { Readiness } from '../process/readiness.ts';
import { readSecretFile } from '../process/secret-file.ts';
import { createRedisBoosts } from '../redis/boosts.ts';
import { createRedisConsume, createRedisTakeBlock } from '../redis/consume.ts';
import { createKeyspace } from '../redis/keys.ts';
import { createRedisSettlements } from '../redis/settle.ts';
import { createRedisSlots } from '../redis/slots.ts';
import { type AuthorizerPart, wordsOf } from './authorizer-health.ts';
import { observedCall, observedClaims, observedSettleTokens } from './observed-counters.ts';

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
  readonly settleTokens: SettleTokens;
  readonly reservationNames: ReservationNames;
  readonly setBoost: SetBoost;
  readonly resetCounters: ResetCounters;
  readonly slots: Slots;
}

/** The store of the counters → the ports on it. Does not wait for Redis: started without it, the policy for outages applies. */
export async function connectCounters(options: CountersOptions): Promise<Counters> {
  const { config, lifecycle, health, metrics, events } = options;
  const { redis, limits, workers } = config;
  if (redis === undefined) {
    health.ready('redis');
    const slots = createMemorySlots({ now: Date.now, leaseMs: limits.slotLeaseMs });
    const { reservationTtlMs } = limits;
    return { ...createMemoryCounters({ now: Date.now, reservationTtlMs }), slots };
  }
  const warn = (words: string) => events.advice({ words });
  const keySecret = readSecretFile(redis.keySecretFile, warn);
  let dropLeases = (): void => undefined;
  const connection = await lifecycle.start({
    name: 'redis',
    async start() {
      // Only here: who counts in memory does not load its client library.
      const { connectRedis } = await import('./connect-redis.ts');
      return connectRedis({
        redis,
        warn,
        onStateChange({ phase, fault }) {
          metrics.setRedisUp(phase === 'ready');
          // Whatever answers now may have forgotten them.
          dropLeases();
          if (phase === 'ready') health.ready('redis');
          else health.degraded('redis', fault === undefined ? 'not connected' : wordsOf(fault));
        },
      });
    },
    stop: (started) => started.close(),
  });
  const limitMetrics = createLimitMetrics(metrics.registry);
  const observers = { metrics, limitMetrics };
  const { commandTimeoutMs } = redis;
  const { reservationTtlMs } = limits;
  const of = { connection, keySecret, now: Date.now, commandTimeoutMs, reservationTtlMs };
  const settlements = createRedisSettlements({ connection, keySecret, now: Date.now });
  const reservationNames = createKeyspace(keySecret);
  const told = { ...of, recordTtlMs: tellAgainMs };
  const counters = await lifecycle.start({
    name: 'counters',
    start() {
      const leases = createLeases({
        consume: observedClaims('reserve', createRedisConsume(of), observers),
        takeBlock: observedClaims('lease', createRedisTakeBlock(of), observers),
        settle: observedCall('settle', settlements.settle, metrics),
        newId: randomUUID,
        now: Date.now,
        elapsed: () => performance.now(),
        onLease: limitMetrics.lease,
      });
      dropLeases = leases.drop;
      const { consume, settle, settleTokens, tellStore } = createStoreOutage({
        store: leases.consume,
        settle: leases.settle,
        settleTokens: observedSettleTokens(settlements.settleTokens, metrics),
        reservationNames,
        reservationTtlMs,
        tell: observedClaims('tell', createRedisConsume(told), observers),
        now: Date.now,
        processes: limits.expectedReplicas * workers,
        onStoreUnavailable: limits.onStoreUnavailable,
        newId: randomUUID,
        onAnswer: limitMetrics.withoutStore,
        onTold: limitMetrics.toldAfterwards,
      });
      const telling = setInterval(() => void tellStore(), tellEveryMs).unref();
      return { consume, settle, settleTokens, close: leases.close, tellStore, telling };
    },
    async stop({ close, tellStore, telling }) {
      clearInterval(telling);
      await Promise.all([close(), tellStore()]);
    },
  });
  const { consume, settle, settleTokens } = counters;
  const stored = createRedisSlots({ ...of, leaseMs: limits.slotLeaseMs });
  const slots = createSlotOutage({
    store: {
      take: observedCall('take_slot', stored.take, metrics),
      look: observedCall('look_slot', stored.look, metrics),
      release: observedCall('release_slot', stored.release, metrics),
      giveBack: observedCall('release_slot', stored.giveBack, metrics),
    },
    now: Date.now,
    leaseMs: limits.slotLeaseMs,
    processes: limits.expectedReplicas * workers,
    onStoreUnavailable: limits.onStoreUnavailable,
  });
  const boosts = createRedisBoosts({ connection, keySecret });
  return { consume, settle, settleTokens, reservationNames, ...boosts, slots };
}
