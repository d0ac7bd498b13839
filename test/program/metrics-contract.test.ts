import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/process/metrics.ts';
import { createRegistrarMetrics } from '../../src/process/registrar-metrics.ts';
import { createWorkersMetrics } from '../../src/process/workers-metrics.ts';
import { type DocumentedMetric, readMetricsPage } from '../docs/metrics-page.ts';
import { startTwoPrograms, type TwoPrograms } from './two-programs.ts';

interface ExposedMetric {
  readonly type: string;
  /** Names of the labels of its series; undefined while it has none. */
  readonly labels: readonly string[] | undefined;
}

/** Text format 0.0.4 → metrics by name, without Node's own. */
function readExposition(text: string): ReadonlyMap<string, ExposedMetric> {
  const metrics = new Map<string, ExposedMetric>();
  for (const line of text.split('\n')) {
    const [, declared, type = ''] = /^# TYPE (\S+) (\w+)$/.exec(line) ?? [];
    if (declared !== undefined && !/^(nodejs|process)_/.test(declared))
      metrics.set(declared, { type, labels: undefined });
    const [, series = '', labels = ''] = /^([a-z_]+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    const name = metrics.has(series) ? series : series.replace(/_(bucket|sum|count)$/, '');
    const metric = metrics.get(name);
    if (metric === undefined) continue;
    const names = [...labels.matchAll(/(\w+)="/g)]
      .map(([, label = '']) => label)
      .filter((label) => label !== 'le');
    metrics.set(name, { ...metric, labels: [...new Set([...(metric.labels ?? []), ...names])] });
  }
  return metrics;
}

const page = readMetricsPage();

function documented(...sections: readonly string[]): readonly DocumentedMetric[] {
  return sections.flatMap((title) => {
    const section = page.get(title);
    if (section === undefined) throw new Error(`docs/metrics.md has no section ${title}`);
    return section;
  });
}

const typesByName = (metrics: Iterable<readonly [string, string]>) =>
  Object.fromEntries([...metrics].toSorted(([one], [other]) => one.localeCompare(other)));

function expectSame(exposed: ReadonlyMap<string, ExposedMetric>, rows: readonly DocumentedMetric[]): void {
  const types = [...exposed].map(([name, { type }]) => [name, type] as const);
  expect(typesByName(types)).toEqual(typesByName(rows.map(({ name, type }) => [name, type] as const)));
  for (const { name, labels, optionalLabels } of rows) {
    const seen = exposed.get(name)?.labels;
    if (seen === undefined) continue;
    const mandatory = seen.filter((label) => !optionalLabels.includes(label));
    expect(mandatory.toSorted(), name).toEqual(labels.toSorted());
  }
}

describe('docs/metrics.md says what is exposed', () => {
  let programs: TwoPrograms;
  let texts: readonly string[];

  beforeAll(async () => {
    // Redis is configured and away: its metrics are there, and claims are decided without it.
    programs = await startTwoPrograms([], (folder) => {
      writeFileSync(join(folder, 'key'), 'a-key-for-the-names-of-counters', { mode: 0o600 });
      return {
        limits: { store: 'redis' },
        redis: { url: 'redis://127.0.0.1:1', keySecretFile: 'key' },
      };
    });
    const token = await programs.issueToken();
    const question = { id: '1', method: 'POST', path: '/llm/llama/v1/x', host: 'h', source: '127.0.0.1' };
    for (const headers of [{}, { authorization: `Bearer ${token}` }])
      await programs.check.ask({ ...question, headers }, 5_000);
    await fetch(`${programs.issuerUrl}/v1/whoami`, {
      headers: { authorization: `Bearer ${programs.tokenOf('alice')}` },
    });
    texts = await Promise.all(programs.ops.map(async (url) => (await fetch(`${url}/metrics`)).text()));
  });

  afterAll(async () => {
    await programs.stop();
  });

  it('by the authorizer', async () => {
    const primary = createWorkersMetrics({
      count: 2,
      restarts: () => 0,
      ofWorkers: () => Promise.resolve([]),
    });
    expectSame(
      readExposition(`${texts[0]}\n${await primary.text()}`),
      documented('Every program', 'Authorizer and issuer, with Redis', 'The authorizer'),
    );
  });

  it('by the issuer', () => {
    expectSame(
      readExposition(texts[1] ?? ''),
      documented('Every program', 'Authorizer and issuer, with Redis', 'The issuer'),
    );
  });

  it('by the registrar', async () => {
    const metrics = createMetrics({ version: '1', now: Date.now, processMetrics: true });
    metrics.trackDroppedLogLines(() => 0);
    const { registry } = metrics;
    createRegistrarMetrics({
      registry,
      integration: 'i',
      environment: 'e',
      escalation: 'x',
      pathOf: (name) => name,
    });
    expectSame(readExposition(await registry.metrics()), documented('Every program', 'The registrar'));
  });

  it('with every label that a metric declares', () => {
    const registry = new Registry();
    createRegistrarMetrics({ registry, integration: 'i', environment: 'e', escalation: 'x', pathOf: String });
    for (const { name, labels } of documented('The registrar')) {
      // prom-client keeps what it was given there, without a type for it.
      const metric = registry.getSingleMetric(name) as unknown as { readonly labelNames: readonly string[] };
      expect(metric.labelNames.toSorted(), name).toEqual(labels.toSorted());
    }
  });

  it('in names that Prometheus recommends', () => {
    for (const { name, type } of [...page.values()].flat()) {
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      if (type === 'histogram') expect(name).toMatch(/_seconds$/);
    }
  });

  it('with buckets for a Check that begin at 50 µs', () => {
    expect(texts[0]).toMatch(/tiergate_check_duration_seconds_bucket\{le="0\.00005"/);
  });
});
