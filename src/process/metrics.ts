import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { CacheEvent } from '../check/review-cache.ts';
import type { DependencyFault } from '../dependency-error.ts';
import { type CheckMetrics, createCheckMetrics } from './check-metrics.ts';
import { type Count, createHotCounter } from './hot-metrics.ts';
import { createProtectionMetrics, type ProtectionMetrics } from './protection-metrics.ts';

/** Every metric of the authorizer; those of the request's way stand in check-metrics.ts. */

/** Remembered reviews. */
export type CacheName = 'identity' | 'access';

/** Questions to the API server. */
export type ReviewKind = 'token_review' | 'subject_access_review' | 'presence' | 'jwks' | 'owner';

export type ReviewResult = 'allowed' | 'denied' | DependencyFault | 'bug';

export type RedisResult = 'ok' | DependencyFault | 'bug';

export interface MetricsOptions {
  readonly version: string;
  readonly now: () => number;
  /** Whether Node's and the process's own metrics (event loop, heap, descriptors) are collected too. */
  readonly processMetrics: boolean;
}

export interface WatchObserver {
  readonly up: () => void;
  readonly down: () => void;
  /** Something came from the watch: an event, a bookmark, a list. */
  readonly heard: () => void;
}

export interface Metrics extends CheckMetrics, ProtectionMetrics {
  readonly cacheObserver: (cache: CacheName) => (event: CacheEvent) => void;
  /** Asks for the size when scraped. */
  readonly trackCacheEntries: (cache: CacheName, size: () => number) => void;
  readonly observeReview: (kind: ReviewKind, result: ReviewResult, seconds: number) => void;
  /** `command` is the code's own word, from a fixed few. */
  readonly observeRedis: (command: string, result: RedisResult, seconds: number) => void;
  readonly setRedisUp: (up: boolean) => void;
  /** `resource` is the plural that is watched. Down until it says otherwise. */
  readonly watchObserver: (resource: string) => WatchObserver;
  readonly policyLoaded: (policy: {
    readonly generation: number;
    readonly tiers: number;
    readonly warnings: number;
  }) => void;
  readonly policyRefused: () => void;
  readonly setReady: (ready: boolean) => void;
  readonly setDegraded: (part: string, degraded: boolean) => void;
  readonly trackDroppedLogLines: (lines: () => number) => void;
  /** For metrics that another part of the process declares. */
  readonly registry: Registry;
  /** Exposition format 0.0.4. */
  readonly contentType: string;
  readonly text: () => Promise<string>;
}

/** From one answer on loopback to the longest time-out. */
const dependencyBuckets = [
  0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (options.processMetrics) collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'tiergate_build_info',
    help: 'Always 1; the labels say what is running.',
    labelNames: ['version', 'node'],
    aggregator: 'first',
    registers,
  }).set({ version: options.version, node: process.version }, 1);

  const ready = new Gauge({
    name: 'tiergate_ready',
    help: 'Whether the process takes requests (1) or is starting or stopping (0).',
    aggregator: 'min',
    registers,
  });
  const degraded = new Gauge({
    name: 'tiergate_degraded',
    help: 'Whether a part does without what it depends on (1).',
    labelNames: ['part'],
    aggregator: 'max',
    registers,
  });

  return {
    ...createCheckMetrics(registry),
    ...createProtectionMetrics(registry),
    ...cacheMetrics(registry),
    ...dependencyMetrics(registers),
    ...watchMetrics(registers, options.now),
    ...policyMetrics(registers, options.now),
    setReady: (isReady) => ready.set(isReady ? 1 : 0),
    setDegraded: (part, isDegraded) => degraded.set({ part }, isDegraded ? 1 : 0),
    trackDroppedLogLines: (lines) => trackTotal(registers, lines),
    registry,
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}

function trackTotal(registers: Registry[], lines: () => number): void {
  const counter = new Counter({
    name: 'tiergate_log_lines_dropped_total',
    help: 'Log lines dropped because nobody read standard output fast enough.',
    registers,
    collect: () => {
      counter.reset();
      counter.inc(lines());
    },
  });
}

function cacheMetrics(registry: Registry): Pick<Metrics, 'cacheObserver' | 'trackCacheEntries'> {
  const events = createHotCounter({
    registry,
    name: 'tiergate_cache_events_total',
    help: 'What happened to look-ups in the caches of reviews.',
  });
  const sizes = new Map<CacheName, () => number>();
  const entries = new Gauge({
    name: 'tiergate_cache_entries',
    help: 'Answers that the caches of reviews hold.',
    labelNames: ['cache'],
    registers: [registry],
    collect: () => {
      for (const [cache, size] of sizes) entries.set({ cache }, size());
    },
  });
  return {
    cacheObserver(cache) {
      const counts: Readonly<Record<CacheEvent, Count>> = {
        hit: events({ cache, event: 'hit' }),
        denied_hit: events({ cache, event: 'denied_hit' }),
        miss: events({ cache, event: 'miss' }),
        coalesced: events({ cache, event: 'coalesced' }),
        stale: events({ cache, event: 'stale' }),
        evicted: events({ cache, event: 'evicted' }),
      };
      return (event) => counts[event]();
    },
    trackCacheEntries: (cache, size) => void sizes.set(cache, size),
  };
}

function dependencyMetrics(
  registers: Registry[],
): Pick<Metrics, 'observeReview' | 'observeRedis' | 'setRedisUp'> {
  const reviews = new Counter({
    name: 'tiergate_reviews_total',
    help: 'Questions asked of the API server, by what came of them.',
    labelNames: ['kind', 'result'],
    registers,
  });
  const reviewDurations = new Histogram({
    name: 'tiergate_review_duration_seconds',
    help: 'Time until the API server answered a question, or was given up.',
    labelNames: ['kind'],
    buckets: dependencyBuckets,
    registers,
  });
  const commands = new Counter({
    name: 'tiergate_redis_commands_total',
    help: 'Commands sent to Redis, by what came of them.',
    labelNames: ['command', 'result'],
    registers,
  });
  const commandDurations = new Histogram({
    name: 'tiergate_redis_command_duration_seconds',
    help: 'Time until Redis answered a command, or was given up.',
    labelNames: ['command'],
    buckets: dependencyBuckets,
    registers,
  });
  const redisUp = new Gauge({
    name: 'tiergate_redis_up',
    help: 'Whether the connection to Redis takes commands (1).',
    aggregator: 'min',
    registers,
  });
  return {
    observeReview(kind, result, seconds) {
      reviews.inc({ kind, result });
      reviewDurations.observe({ kind }, seconds);
    },
    observeRedis(command, result, seconds) {
      commands.inc({ command, result });
      commandDurations.observe({ command }, seconds);
    },
    setRedisUp: (up) => redisUp.set(up ? 1 : 0),
  };
}

function watchMetrics(registers: Registry[], now: () => number): Pick<Metrics, 'watchObserver'> {
  const up = new Gauge({
    name: 'tiergate_watch_up',
    help: 'Whether a watch is connected and its store is in step (1).',
    labelNames: ['resource'],
    aggregator: 'min',
    registers,
  });
  const heardAt = new Gauge({
    name: 'tiergate_watch_heard_timestamp_seconds',
    help: 'When anything last came from a watch; its age is time() less this.',
    labelNames: ['resource'],
    aggregator: 'min',
    registers,
  });
  const failures = new Counter({
    name: 'tiergate_watch_failures_total',
    help: 'Times that a watch was lost.',
    labelNames: ['resource'],
    registers,
  });
  return {
    watchObserver(resource) {
      up.set({ resource }, 0);
      failures.inc({ resource }, 0);
      return {
        up: () => up.set({ resource }, 1),
        down() {
          up.set({ resource }, 0);
          failures.inc({ resource });
        },
        heard: () => heardAt.set({ resource }, now() / 1000),
      };
    },
  };
}

function policyMetrics(
  registers: Registry[],
  now: () => number,
): Pick<Metrics, 'policyLoaded' | 'policyRefused'> {
  // Of workers, one that is behind is what an operator has to see.
  const gauge = (name: string, help: string, aggregator: 'min' | 'max' = 'min') =>
    new Gauge({ name, help, registers, aggregator });
  const generation = gauge(
    'tiergate_policy_generation',
    'Policy documents taken into force since the start.',
  );
  const tiers = gauge('tiergate_policy_tiers', 'Tiers of the policy document in force.');
  const warnings = gauge('tiergate_policy_warnings', 'Warnings about the policy document in force.');
  const loadedAt = gauge(
    'tiergate_policy_loaded_timestamp_seconds',
    'When the policy document in force was taken.',
  );
  const lastRefused = gauge(
    'tiergate_policy_last_load_refused',
    'Whether the newest policy document was refused (1) and an older one is in force.',
    'max',
  );
  const loads = new Counter({
    name: 'tiergate_policy_loads_total',
    help: 'Policy documents read, by what came of them.',
    labelNames: ['result'],
    registers,
  });
  loads.inc({ result: 'loaded' }, 0);
  loads.inc({ result: 'refused' }, 0);
  return {
    policyLoaded(policy) {
      generation.set(policy.generation);
      tiers.set(policy.tiers);
      warnings.set(policy.warnings);
      loadedAt.set(now() / 1000);
      lastRefused.set(0);
      loads.inc({ result: 'loaded' });
    },
    policyRefused() {
      lastRefused.set(1);
      loads.inc({ result: 'refused' });
    },
  };
}
