import { describe, expect, it } from 'vitest';
import { createLiveRoute } from '../../src/console/live.ts';
import { createRecentOutcomes } from '../../src/console/recent-outcomes.ts';
import { createSeries } from '../../src/console/series.ts';
import { parsePolicyFile } from '../../src/policy/parse-policy.ts';
import { createLimitMetrics } from '../../src/process/limit-metrics.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import { createReadMetric } from '../../src/process/read-metric.ts';

function world() {
  const parsed = parsePolicyFile(
    '- {name: free, groups: [a], limits: {requests: [{limit: 5, window: 2m}]}}',
    {
      instance: 'test',
      defaultLimits: 'unlimited',
      defaultTier: undefined,
    },
  );
  if (!parsed.valid) throw new Error('the policy of this test is not valid');
  const metrics = createMetrics({ version: '0', now: Date.now, processMetrics: true });
  createLimitMetrics(metrics.registry);
  const read = createReadMetric(metrics.registry);
  const asked = { metrics: new Set<string>(), usage: 0, registrar: 0 };
  let nowMs = 1_000_000;
  const outcomes = createRecentOutcomes({ random: () => 0, now: () => nowMs });
  const route = createLiveRoute({
    series: createSeries({ read, now: () => nowMs }),
    outcomes,
    policy: () => parsed.policy,
    async readUsage({ tier }) {
      asked.usage += 1;
      if (asked.usage > 1) throw new Error('away');
      const windows = tier.windows.map((window) => ({
        window,
        remaining: 3,
        resetAfterMs: 7,
        exceeded: false,
      }));
      return { windows };
    },
    report: () => ({ status: 'ready' }),
    async read(name) {
      asked.metrics.add(name);
      return read(name);
    },
    async readRegistrar() {
      asked.registrar += 1;
      return { state: 'unreachable' };
    },
    now: () => nowMs,
  });
  const principal = { username: 'ada', uid: '', groups: [], extra: {} };
  return {
    metrics,
    asked,
    outcomes,
    pass: (ms: number) => void (nowMs += ms),
    look: async () =>
      (await route.handle({
        principal,
        session: undefined,
        query: new URLSearchParams(),
        body: {},
        bytes: Buffer.alloc(0),
        source: '',
      })) as Readonly<Record<string, unknown>>,
  };
}

describe('what the page is told', () => {
  it('is of metrics that this process has', async () => {
    const { metrics, asked, look } = world();
    await look();
    expect(asked.metrics.size).toBeGreaterThan(10);
    for (const name of asked.metrics) expect(metrics.registry.getSingleMetric(name), name).toBeDefined();
  });

  it('costs the counters and the registrar the same however many look', async () => {
    const { asked, outcomes, look, pass } = world();
    outcomes.record(
      { denied: false, kind: 'model', subject: 'bob', tier: 'free', windows: [] },
      { id: '', method: 'POST' },
    );
    const [first] = await Promise.all(Array.from({ length: 20 }, look));
    expect(first?.['subjects']).toMatchObject([
      { subject: 'bob', requests: 1, windows: [{ limit: 5, remaining: 3 }] },
    ]);
    expect(asked).toMatchObject({ usage: 1, registrar: 1 });
    pass(2_000);
    const second = await look();
    expect(second['subjects']).toMatchObject([{ subject: 'bob', windows: undefined }]);
    expect(asked).toMatchObject({ usage: 2, registrar: 1 });
  });
});
