import { readFileSync } from 'node:fs';
import type { Consume } from '../check/limit.ts';
import { createMemoryConsume } from '../check/memory-consume.ts';
import { isDependencyError } from '../dependency-error.ts';
import type { Config, RedisConfig } from '../process/config.ts';
import type { Events } from '../process/events.ts';
import type { Lifecycle } from '../process/lifecycle.ts';
import type { Metrics, RedisResult } from '../process/metrics.ts';
import type { Readiness } from '../process/readiness.ts';
import { readSecretFile } from '../process/secret-file.ts';
import { createRedisConnection } from '../redis/connection.ts';
import { createRedisConsume } from '../redis/consume.ts';
import { createSecret } from '../secret.ts';
import { type AuthorizerPart, wordsOf } from './authorizer-health.ts';

export interface CountersOptions {
  readonly config: Config;
  readonly lifecycle: Lifecycle;
  readonly health: Pick<Readiness<AuthorizerPart>, 'ready' | 'degraded'>;
  readonly metrics: Metrics;
  readonly events: Events;
}

/** The store of the counters → Consume. Does not wait for Redis: started without it, the policy for outages applies. */
export async function connectCounters(options: CountersOptions): Promise<Consume> {
  const { config, lifecycle, health, metrics, events } = options;
  const { redis } = config;
  if (redis === undefined) {
    health.ready('redis');
    return createMemoryConsume({ now: Date.now });
  }
  const warn = (words: string) => events.advice({ words });
  const keySecret = readSecretFile(redis.keySecretFile, warn);
  const connection = await lifecycle.start({
    name: 'redis',
    start: () =>
      createRedisConnection({
        target: { kind: 'single', url: redis.url },
        ...credentialsOf(redis, warn),
        now: Date.now,
        onStateChange({ phase, fault }) {
          metrics.setRedisUp(phase === 'ready');
          if (phase === 'ready') health.ready('redis');
          else health.degraded('redis', fault === undefined ? 'not connected' : wordsOf(fault));
        },
      }),
    stop: (started) => started.close(),
  });
  const consume = createRedisConsume({
    connection,
    keySecret,
    now: Date.now,
    commandTimeoutMs: redis.commandTimeoutMs,
  });
  return observedConsume(consume, metrics);
}

/** The same port, with every call counted and timed. */
function observedConsume(consume: Consume, { observeRedis }: Metrics): Consume {
  return async (claim) => {
    const startedAtMs = performance.now();
    let result: RedisResult = 'bug';
    try {
      const decision = await consume(claim);
      result = 'ok';
      return decision;
    } catch (error) {
      if (isDependencyError(error)) result = error.code;
      throw error;
    } finally {
      observeRedis('reserve', result, (performance.now() - startedAtMs) / 1000);
    }
  };
}

function credentialsOf({ tls, usernameFile, passwordFile }: RedisConfig, warn: (words: string) => void) {
  return {
    ...(usernameFile !== undefined && { username: readSecretFile(usernameFile, warn) }),
    ...(passwordFile !== undefined && { password: readSecretFile(passwordFile, warn) }),
    ...(tls !== undefined && {
      tls: {
        ...(tls.ca !== undefined && { ca: readFileSync(tls.ca, 'utf8') }),
        ...(tls.cert !== undefined && { cert: readFileSync(tls.cert, 'utf8') }),
        ...(tls.key !== undefined && { key: createSecret(readFileSync(tls.key, 'utf8')) }),
      },
    }),
  };
}
