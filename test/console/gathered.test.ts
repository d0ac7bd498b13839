import { Counter, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { denied, type Outcome } from '../../src/check/outcome.ts';
import { createRecentOutcomes } from '../../src/console/recent-outcomes.ts';
import { createReadRegistrar } from '../../src/console/registrar.ts';
import { createSeries } from '../../src/console/series.ts';
import { createTopSubjects } from '../../src/console/top-subjects.ts';
import { createOpsServer } from '../../src/http/ops-server.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import { createReadMetric } from '../../src/process/read-metric.ts';

const request = { id: 'id-of-request', method: 'POST' };
const passed: Outcome = { denied: false, kind: 'model', subject: 'ada', tier: 'free', windows: [] };

function refused(subject: string): Outcome {
  return { ...denied('requests_exceeded', 'used up', { retryAfterMs: 5 }), subject, tier: 'free' };
}

describe('recent outcomes', () => {
  function recent(random = 0.5) {
    return createRecentOutcomes({ random: () => random, now: () => 1_000 });
  }

  it('keeps denials in their order, and tells only of newer ones', () => {
    const outcomes = recent();
    for (const subject of ['a', 'b', 'c']) outcomes.record(refused(subject), request);
    outcomes.record(passed, request);
    expect(outcomes.denialsAfter(1).map(({ seq, subject }) => [seq, subject])).toEqual([
      [2, 'b'],
      [3, 'c'],
    ]);
    expect(outcomes.denialsAfter(0)[0]).toMatchObject({
      reason: 'requests_exceeded',
      status: 429,
      tier: 'free',
      requestId: 'id-of-request',
      retryAfterMs: 5,
    });
  });

  it('keeps fifty of a flood each second, and two hundred in all', () => {
    const outcomes = recent();
    for (let second = 0; second < 6; second += 1) {
      for (let at = 0; at < 500; at += 1) outcomes.record(refused(`s${at}`), request);
      expect(outcomes.denialsAfter(50 * second)).toHaveLength(50);
      outcomes.tick();
    }
    expect(outcomes.denialsAfter(0)).toHaveLength(200);
  });

  it('counts everything while little happens', () => {
    const outcomes = recent();
    for (let second = 0; second < 10; second += 1) {
      for (let at = 0; at < 20; at += 1) outcomes.record(at % 4 === 0 ? refused('bob') : passed, request);
      outcomes.tick();
    }
    expect(outcomes.topSubjects(5)).toEqual([
      { subject: 'ada', tier: 'free', requests: 150, denied: 0 },
      { subject: 'bob', tier: 'free', requests: 50, denied: 50 },
    ]);
  });

  it('looks at few of a flood, and counts about as many', () => {
    let state = 1;
    const random = () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
    const outcomes = createRecentOutcomes({ random, now: () => 0 });
    for (let second = 0; second < 20; second += 1) {
      for (let at = 0; at < 2_000; at += 1) outcomes.record(at % 5 === 0 ? refused('bob') : passed, request);
      outcomes.tick();
    }
    const [ada, bob] = outcomes.topSubjects(2);
    expect(ada?.requests).toBeGreaterThan(0.9 * 32_000);
    expect(ada?.requests).toBeLessThan(1.1 * 32_000);
    expect(bob?.denied).toBeGreaterThan(0.8 * 8_000);
    expect(bob?.denied).toBeLessThan(1.2 * 8_000);
  });
});

describe('top subjects', () => {
  it('finds the busiest of more than it has room for', () => {
    const { observe, top } = createTopSubjects({ maxSubjects: 10, minutes: 15, now: () => 0 });
    for (let at = 0; at < 10_000; at += 1) {
      const subject = at % 3 === 0 ? 'ada' : at % 5 === 0 ? 'bob' : `once-${at}`;
      observe({ subject, tier: undefined, denied: false, weight: 1 });
    }
    const [first, second] = top(2);
    expect([first?.subject, second?.subject]).toEqual(['ada', 'bob']);
    expect(first?.requests).toBeGreaterThanOrEqual(3_334);
  });

  it('forgets after its minutes, and at a clock that was set back', () => {
    let nowMs = 0;
    const { observe, top } = createTopSubjects({ maxSubjects: 10, minutes: 2, now: () => nowMs });
    const one = (subject: string) => observe({ subject, tier: undefined, denied: false, weight: 1 });
    one('ada');
    nowMs = 61_000;
    one('bob');
    expect(
      top(5)
        .map(({ subject }) => subject)
        .toSorted(),
    ).toEqual(['ada', 'bob']);
    nowMs = 121_000;
    expect(top(5).map(({ subject }) => subject)).toEqual(['bob']);
    nowMs = -1;
    one('carol');
    expect(top(5).map(({ subject }) => subject)).toEqual(['carol']);
  });
});

describe('the series', () => {
  it('has what happened in each second, of the metrics that are counted anyway', async () => {
    let nowMs = 0;
    const metrics = createMetrics({ version: '0', now: () => 0, processMetrics: false });
    const series = createSeries({ read: createReadMetric(metrics.registry), now: () => nowMs });
    metrics.observeOutcome('grpc', passed, 0.000_07);
    await series.tick();
    expect(series.samplesAfter(0)).toEqual([]);
    for (let at = 0; at < 99; at += 1) metrics.observeOutcome('grpc', passed, 0.000_07);
    metrics.observeOutcome('http', refused('bob'), 0.02);
    nowMs = 1_000;
    await series.tick();
    nowMs = 2_000;
    await series.tick();
    expect(series.samplesAfter(0)).toEqual([
      {
        seq: 1,
        atMs: 1_000,
        seconds: 1,
        allowed: 99,
        denied: { requests_exceeded: 1 },
        tiers: { free: [99, 1] },
        p50Ms: 0.1,
        p99Ms: 0.1,
      },
      { seq: 2, atMs: 2_000, seconds: 1, allowed: 0, denied: {}, tiers: {} },
    ]);
    expect(series.samplesAfter(1)).toHaveLength(1);
  });

  it('reads nothing where a metric is not there', async () => {
    const registry = new Registry();
    new Counter({ name: 'other', help: 'other', registers: [registry] }).inc();
    const read = createReadMetric(registry);
    expect(await read('absent')).toEqual([]);
    expect(await read('other')).toEqual([{ labels: {}, value: 1 }]);
  });
});

describe('the registrar', () => {
  const text = `# HELP rhidp_sso_client_iat_usable Whether
tiergate_registrar_converged{integration="i",ocm_environment="e"} 0
rhidp_sso_client_info{path="a/b",idp="Prod \\"one\\"",environment="prod",escalation="x"} 1
rhidp_sso_client_iat_usable{integration="i",path="a/b"} 1
rhidp_sso_client_iat_usable{integration="i",path="c"} 0
rhidp_sso_client_inital_access_token_expiration{integration="i",path="a/b"} 1800000000
rhidp_sso_client_iat_remaining_clients{integration="i",path="a/b",source="admin"} 41
`;

  it('is read by its metrics, and is one that does not answer where there is none', async () => {
    const server = createOpsServer({
      host: '127.0.0.1',
      port: 0,
      listener: (_request, response) => void response.end(text),
    });
    const { port } = await server.start();
    const read = createReadRegistrar(`http://127.0.0.1:${port}`);
    expect(await read()).toEqual({
      state: 'answered',
      converged: false,
      tokens: [
        {
          path: 'a/b',
          provider: 'Prod "one"',
          environment: 'prod',
          expiresAtMs: 1_800_000_000_000,
          remainingClients: 41,
          isUsable: true,
        },
        {
          path: 'c',
          provider: undefined,
          environment: undefined,
          expiresAtMs: undefined,
          remainingClients: undefined,
          isUsable: false,
        },
      ],
    });
    await server.stop(AbortSignal.abort());
    expect(await read()).toEqual({ state: 'unreachable' });
  });
});
