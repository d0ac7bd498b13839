import { Histogram, Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { type DenialReason, denialStatus } from '../../src/check/denial.ts';
import type { Allowed, Refused } from '../../src/check/outcome.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import { createHotCounter, createHotHistogram } from '../../src/process/hot-metrics.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import { observedReview } from '../../src/process/observed-review.ts';

function metricsNow(processMetrics = false) {
  return createMetrics({ version: '1.2.3', now: () => 1_700_000_000_000, processMetrics });
}

/** The value of a series, written as in the exposition format; NaN where there is none. */
async function valueOf(metrics: { readonly text: () => Promise<string> }, series: string): Promise<number> {
  const line = (await metrics.text()).split('\n').find((text) => text.startsWith(`${series} `));
  return line === undefined ? Number.NaN : Number(line.slice(series.length + 1));
}

const window: WindowLimit = { scope: '*', unit: 'requests', windowMs: 1000, limit: 5, mode: 'enforce' };

function passed(exceeded = false): Allowed {
  const state = { window, remaining: 1, resetAfterMs: 1, exceeded };
  return { denied: false, kind: 'model', subject: 'alice', tier: 'free', windows: [state] };
}

function refused(reason: DenialReason): Refused {
  return { denied: true, reason, detail: 'No.', subject: 'alice', tier: 'free' };
}

describe('checks', () => {
  test('every reason is counted as a refusal, as nobody could tell, or as a bug, by its status', async () => {
    const metrics = metricsNow();
    for (const reason of Object.keys(denialStatus) as DenialReason[]) {
      metrics.observeOutcome('grpc', refused(reason), 0.001);
      const { http } = denialStatus[reason];
      const result = http === 503 ? 'unavailable' : http === 500 ? 'failed' : 'denied';
      const series = `tiergate_checks_total{door="grpc",result="${result}",reason="${reason}"}`;
      expect(await valueOf(metrics, series)).toBe(1);
    }
    expect(
      await valueOf(metrics, 'tiergate_checks_total{door="http",result="denied",reason="no_tier"}'),
    ).toBe(0);
  });

  test('that passed are counted apart, by door, with their time', async () => {
    const metrics = metricsNow();
    metrics.observeOutcome('grpc', passed(), 0.000_04);
    metrics.observeOutcome('grpc', passed(), 0.000_06);
    metrics.observeOutcome('http', passed(), 9);
    const count = 'tiergate_checks_total{door="grpc",result="allowed",reason="none"}';
    const bucket = (le: string, door: string) =>
      `tiergate_check_duration_seconds_bucket{le="${le}",door="${door}",result="allowed"}`;
    expect(await valueOf(metrics, count)).toBe(2);
    expect(await valueOf(metrics, bucket('0.00005', 'grpc'))).toBe(1);
    expect(await valueOf(metrics, bucket('0.0001', 'grpc'))).toBe(2);
    expect(await valueOf(metrics, bucket('2.5', 'http'))).toBe(0);
    expect(await valueOf(metrics, bucket('+Inf', 'http'))).toBe(1);
    expect(await valueOf(metrics, 'tiergate_check_duration_seconds_sum{door="http",result="allowed"}')).toBe(
      9,
    );
  });

  test('tell by tier what the limits said', async () => {
    const metrics = metricsNow();
    const tell = (outcome: Allowed | Refused) => metrics.observeOutcome('grpc', outcome, 0.001);
    tell(passed());
    tell(passed(true));
    tell(refused('requests_exceeded'));
    tell(refused('limit_unavailable'));
    tell(refused('model_forbidden'));
    tell({ denied: false, kind: 'public', windows: [] });
    tell({ denied: false, kind: 'identity', subject: 'alice', tier: 'free', windows: [] });
    for (const result of ['allowed', 'shadow_denied', 'denied', 'unavailable']) {
      expect(await valueOf(metrics, `tiergate_limit_decisions_total{tier="free",result="${result}"}`)).toBe(
        1,
      );
    }
  });

  test('never name a subject', async () => {
    const metrics = metricsNow();
    metrics.observeOutcome('grpc', passed(), 0.001);
    metrics.observeOutcome('grpc', refused('no_tier'), 0.001);
    expect(await metrics.text()).not.toContain('alice');
  });
});

describe('caches, reviews, Redis, watches, policy', () => {
  test('cache events are counted and sizes asked for at the scrape', async () => {
    const metrics = metricsNow();
    const observe = metrics.cacheObserver('identity');
    observe('hit');
    observe('hit');
    observe('stale');
    let size = 3;
    metrics.trackCacheEntries('identity', () => size);
    size = 4;
    expect(await valueOf(metrics, 'tiergate_cache_events_total{cache="identity",event="hit"}')).toBe(2);
    expect(await valueOf(metrics, 'tiergate_cache_events_total{cache="identity",event="stale"}')).toBe(1);
    expect(await valueOf(metrics, 'tiergate_cache_events_total{cache="identity",event="evicted"}')).toBe(0);
    expect(await valueOf(metrics, 'tiergate_cache_entries{cache="identity"}')).toBe(4);
  });

  test('an observed review answers and fails as the review itself, and is timed either way', async () => {
    const metrics = metricsNow();
    let elapsedMs = 0;
    const answers: (() => Promise<'yes' | 'no'>)[] = [
      async () => 'yes',
      async () => 'no',
      () => Promise.reject(new DependencyError('kubernetes', 'timeout')),
      () => Promise.reject(new TypeError('bug')),
    ];
    const review = observedReview(
      (at: number) => {
        elapsedMs += 20;
        return answers[at]?.() ?? expect.fail();
      },
      {
        kind: 'token_review',
        observe: metrics.observeReview,
        resultOf: (answer) => (answer === 'yes' ? 'allowed' : 'denied'),
        elapsed: () => elapsedMs,
      },
    );
    await expect(review(0)).resolves.toBe('yes');
    await expect(review(1)).resolves.toBe('no');
    await expect(review(2)).rejects.toThrow(DependencyError);
    await expect(review(3)).rejects.toThrow(TypeError);
    for (const result of ['allowed', 'denied', 'timeout', 'bug']) {
      const series = `tiergate_reviews_total{kind="token_review",result="${result}"}`;
      expect(await valueOf(metrics, series)).toBe(1);
    }
    const sum = await valueOf(metrics, 'tiergate_review_duration_seconds_sum{kind="token_review"}');
    expect(sum).toBeCloseTo(0.08);
  });

  test('Redis', async () => {
    const metrics = metricsNow();
    metrics.setRedisUp(true);
    metrics.observeRedis('reserve', 'ok', 0.001);
    metrics.observeRedis('reserve', 'timeout', 0.05);
    expect(await valueOf(metrics, 'tiergate_redis_up')).toBe(1);
    expect(await valueOf(metrics, 'tiergate_redis_commands_total{command="reserve",result="timeout"}')).toBe(
      1,
    );
    expect(await valueOf(metrics, 'tiergate_redis_command_duration_seconds_count{command="reserve"}')).toBe(
      2,
    );
  });

  test('a watch is down until it says otherwise, and says when it was last heard', async () => {
    const metrics = metricsNow();
    const watch = metrics.watchObserver('serviceaccounts');
    const up = 'tiergate_watch_up{resource="serviceaccounts"}';
    expect(await valueOf(metrics, up)).toBe(0);
    watch.up();
    watch.heard();
    expect(await valueOf(metrics, up)).toBe(1);
    watch.down();
    expect(await valueOf(metrics, up)).toBe(0);
    expect(await valueOf(metrics, 'tiergate_watch_failures_total{resource="serviceaccounts"}')).toBe(1);
    const heard = 'tiergate_watch_heard_timestamp_seconds{resource="serviceaccounts"}';
    expect(await valueOf(metrics, heard)).toBe(1_700_000_000);
  });

  test('a refused policy document shows until the next good one', async () => {
    const metrics = metricsNow();
    metrics.policyLoaded({ generation: 1, tiers: 3, warnings: 2 });
    metrics.policyRefused();
    expect(await valueOf(metrics, 'tiergate_policy_last_load_refused')).toBe(1);
    expect(await valueOf(metrics, 'tiergate_policy_generation')).toBe(1);
    metrics.policyLoaded({ generation: 2, tiers: 4, warnings: 0 });
    expect(await valueOf(metrics, 'tiergate_policy_last_load_refused')).toBe(0);
    expect(await valueOf(metrics, 'tiergate_policy_tiers')).toBe(4);
    expect(await valueOf(metrics, 'tiergate_policy_warnings')).toBe(0);
    expect(await valueOf(metrics, 'tiergate_policy_loads_total{result="refused"}')).toBe(1);
  });

  test('the process', async () => {
    const metrics = metricsNow();
    metrics.setReady(true);
    metrics.setDegraded('redis', true);
    metrics.trackDroppedLogLines(() => 7);
    expect(await valueOf(metrics, 'tiergate_ready')).toBe(1);
    expect(await valueOf(metrics, 'tiergate_degraded{part="redis"}')).toBe(1);
    expect(await valueOf(metrics, 'tiergate_log_lines_dropped_total')).toBe(7);
    expect(await valueOf(metrics, 'tiergate_log_lines_dropped_total')).toBe(7);
    expect(await metrics.text()).toContain(
      `tiergate_build_info{version="1.2.3",node="${process.version}"} 1`,
    );
  });
});

describe('the exposition', () => {
  test('follows the naming rules of Prometheus, with a help text for each', async () => {
    const metrics = metricsNow(true);
    metrics.trackDroppedLogLines(() => 0);
    for (const { name, help, type } of await metrics.registry.getMetricsAsJSON()) {
      if (!name.startsWith('tiergate_')) continue;
      expect(name).toMatch(/^tiergate(_[a-z]+)+$/);
      expect(help).toMatch(/^[A-Z].*\.$/);
      expect(name.endsWith('_total'), name).toBe(String(type) === 'counter');
      if (String(type) === 'histogram') expect(name).toMatch(/_seconds$/);
    }
  });

  test('has the event loop, memory and descriptors of the process', async () => {
    const text = await metricsNow(true).text();
    for (const name of [
      'nodejs_eventloop_lag_seconds',
      'process_resident_memory_bytes',
      'process_open_fds',
    ]) {
      expect(text).toContain(`# TYPE ${name} gauge`);
    }
  });
});

describe('hot metrics', () => {
  test('a histogram reads as one of prom-client does', async () => {
    const buckets = [0.1, 1, 10];
    const [ours, theirs] = [new Registry(), new Registry()];
    const observe = createHotHistogram({ registry: ours, name: 'h', help: 'A histogram.', buckets })({
      a: 'b',
    });
    const reference = new Histogram({
      name: 'h',
      help: 'A histogram.',
      labelNames: ['a'],
      buckets,
      registers: [theirs],
    });
    for (const value of [0, 0.1, 0.100_1, 1, 5, 10, 11, 1e9]) {
      observe(value);
      reference.observe({ a: 'b' }, value);
    }
    expect(await ours.metrics()).toBe(await theirs.metrics());
    expect(await ours.getMetricsAsJSON()).toHaveLength(1);
  });

  test('cells of one metric are counted apart, and workers can be summed', async () => {
    const registry = new Registry();
    const cell = createHotCounter({ registry, name: 'c_total', help: 'A counter.' });
    const [a, b] = [cell({ at: 'a' }), cell({ at: 'b' })];
    a();
    a();
    b();
    expect(await registry.getMetricsAsJSON()).toMatchObject([
      {
        name: 'c_total',
        aggregator: 'sum',
        values: [
          { labels: { at: 'a' }, value: 2 },
          { labels: { at: 'b' }, value: 1 },
        ],
      },
    ]);
  });
});
