import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Measurement } from './measure.ts';
import { barsSvg } from './plot.ts';
import { median } from './statistics.ts';
import { type Effort, holds, type Row, type SuiteResult, type Verdict } from './suite.ts';

/** A suite's result, with where and when it was measured. */
export interface Measured extends SuiteResult {
  readonly name: string;
  readonly commit: string;
  readonly machine: string;
  readonly effort: Effort;
  readonly measuredAt: string;
}

/** Keeps the result as JSON, and makes RESULTS.md and the plots anew of all that are kept. */
export function writeResults(out: string, result: Measured): void {
  const folder = join(out, 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${result.name}.json`), `${JSON.stringify(result, rounded, 1)}\n`);
  const all = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Measured)
    .toSorted((a, b) => orderOf(a) - orderOf(b));
  for (const each of all) {
    if (each.rows.length > 0) writeFileSync(join(folder, `${each.name}.svg`), plot(each));
  }
  writeFileSync(join(out, 'RESULTS.md'), markdown(all));
}

const order = [
  'envoy',
  'rate',
  'grpc',
  'unix',
  'http',
  'httpRate',
  'stages',
  'cold',
  'growth',
  'slow',
  'spread',
  'denied',
  'rivals',
];

function orderOf({ name }: Measured): number {
  const at = order.indexOf(name);
  return at < 0 ? order.length : at;
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(6)) : value;
}

function markdown(all: readonly Measured[]): string {
  const verdicts = all.flatMap((result) => result.verdicts.map((verdict) => ({ verdict, result })));
  const lines = [
    '# Results of the benchmark',
    '',
    'Written by `npm run bench`; not to be edited. A ratio is the median of alternated pairs, with its 95 % confidence interval (percentile',
    'bootstrap); ratios compare what met the same machine, absolute figures hold for that machine and hour. Throughput, latencies and',
    'processor time are medians of the rounds. How to read it, and what the parts are: [docs/performance.md](../docs/performance.md).',
    '',
    '| | what | ratio | 95 % | pairs | bound | |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...verdicts.map(
      ({ verdict }) =>
        `| ${verdict.must} | ${verdict.words} | ${three(verdict.ratio.median)} | ${three(verdict.ratio.low)} to ${three(verdict.ratio.high)} | ${verdict.ratio.pairs} | ${boundWords(verdict)} | ${holds(verdict) ? 'holds' : '**does not hold**'} |`,
    ),
    '',
    ...all.flatMap(section),
  ];
  return `${lines.join('\n')}\n`;
}

function section(result: Measured): readonly string[] {
  const { name, title, words, rows, figures = [], effort } = result;
  return [
    `## ${title}`,
    '',
    words,
    '',
    ...(rows.length === 0 ? [] : [...table(rows), '', `![${title}](results/${name}.svg)`, '']),
    ...(figures.length === 0
      ? []
      : [
          '| figure | |',
          '| --- | --- |',
          ...figures.map((figure) => `| ${figure.name} | ${figure.value.toPrecision(3)} ${figure.unit} |`),
          '',
        ]),
    `<sub>${name}; ${effort.rounds} rounds of ${effort.seconds} s; commit ${result.commit}; ${result.measuredAt}; ${result.machine}</sub>`,
    '',
  ];
}

function table(rows: readonly Row[]): readonly string[] {
  const processes = [...new Set(rows.flatMap(({ rounds }) => Object.keys(rounds[0]?.cpu ?? {})))];
  const heads = [
    'requests/s',
    'p50 ms',
    'p90',
    'p99',
    'p99.9',
    ...processes.map((name) => `${name} µs`),
    'Redis calls',
    'reviews',
  ];
  return [
    `| | ${heads.join(' | ')} |`,
    `| --- |${' --- |'.repeat(heads.length)}`,
    ...rows.map((row) => {
      const cells = [
        middle(row, ({ perSecond }) => perSecond).toFixed(0),
        ...(['p50', 'p90', 'p99', 'p999'] as const).map((key) =>
          middle(row, (found) => found[key]).toFixed(2),
        ),
        ...processes.map((name) =>
          dash(
            middle(row, ({ cpu }) => cpu[name] ?? Number.NaN),
            1,
          ),
        ),
        middle(row, ({ redisCalls }) => redisCalls).toFixed(3),
        middle(row, ({ reviews }) => reviews).toFixed(3),
      ];
      return `| ${row.name} | ${cells.join(' | ')} |`;
    }),
    '',
    'µs: processor time of that process for one request.',
  ];
}

function middle({ rounds }: Row, of: (found: Measurement) => number): number {
  return median(rounds.map(of));
}

function dash(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '';
}

function plot({ title, rows, name }: Measured): string {
  const isRate = name === 'rate' || name === 'slow' || name === 'httpRate';
  return barsSvg({
    title: isRate ? `${title}: latency, p50 to p99 (ms)` : `${title}: requests a second`,
    bars: rows.map((row) => ({
      name: row.name,
      value: middle(row, (found) => (isRate ? found.p50 : found.perSecond)),
      ...(isRate && { to: middle(row, ({ p99 }) => p99) }),
    })),
  });
}

function boundWords({ bound }: Verdict): string {
  return 'atLeast' in bound ? `at least ${bound.atLeast}` : `at most ${bound.atMost}`;
}

const three = (value: number): string => value.toFixed(3);

export function printVerdicts({ verdicts, figures = [] }: SuiteResult): void {
  for (const verdict of verdicts) {
    const { median: ratio, low, high, pairs } = verdict.ratio;
    console.log(
      `must show ${verdict.must}: ${verdict.words}: ${three(ratio)} (95 %: ${three(low)} to ${three(high)}, ${pairs} pairs), ${boundWords(verdict)}: ${holds(verdict) ? 'holds' : 'DOES NOT HOLD'}`,
    );
  }
  for (const { name, value, unit } of figures) console.log(`${name}: ${value.toPrecision(3)} ${unit}`);
}
