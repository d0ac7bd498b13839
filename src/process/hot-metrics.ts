import type { Metric, Registry } from 'prom-client';

/**
 * Counters and histograms for what happens on every request. prom-client finds the cell of a label set by
 * sorting, joining and hashing on every call (measured here: 0.4 µs a count, 0.7 µs an observation); these
 * hand out the cell once, and adding to it is adding a number. Exposition, and summing over workers, stay
 * prom-client's: it asks a registered metric for its values.
 */

type Labels = Readonly<Record<string, string>>;

export interface HotMetricOptions {
  readonly registry: Registry;
  readonly name: string;
  readonly help: string;
}

interface Value {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

export type Count = () => void;

/** Gives, for a label set, the function that counts one. Ask once and keep it. */
export function createHotCounter(options: HotMetricOptions): (labels: Labels) => Count {
  const cells: { readonly labels: Labels; count: number }[] = [];
  register(options, 'counter', () => cells.map(({ labels, count }) => ({ labels, value: count })));
  return (labels) => {
    const cell = { labels, count: 0 };
    cells.push(cell);
    return () => {
      cell.count += 1;
    };
  };
}

export type Observe = (value: number) => void;

/** As `createHotCounter`; `buckets` are upper bounds, ascending. */
export function createHotHistogram(
  options: HotMetricOptions & { readonly buckets: readonly number[] },
): (labels: Labels) => Observe {
  const { buckets, name } = options;
  const cells: { readonly labels: Labels; readonly counts: number[]; sum: number }[] = [];

  function valuesOf({ labels, counts, sum }: (typeof cells)[number]): Value[] {
    let total = 0;
    const cumulative = counts.map((count, at): Value => {
      total += count;
      return { labels: { le: buckets[at] ?? '+Inf', ...labels }, value: total, metricName: `${name}_bucket` };
    });
    return [
      ...cumulative,
      { labels, value: sum, metricName: `${name}_sum` },
      { labels, value: total, metricName: `${name}_count` },
    ];
  }

  register(options, 'histogram', () => cells.flatMap(valuesOf));
  return (labels) => {
    const cell = { labels, counts: Array.from({ length: buckets.length + 1 }, () => 0), sum: 0 };
    cells.push(cell);
    return (value) => {
      let at = 0;
      while (at < buckets.length && value > (buckets[at] ?? 0)) at += 1;
      cell.counts[at] = (cell.counts[at] ?? 0) + 1;
      cell.sum += value;
    };
  };
}

function register(
  { registry, name, help }: HotMetricOptions,
  type: 'counter' | 'histogram',
  values: () => Value[],
): void {
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    get: async () => ({ name, help, type, aggregator: 'sum', values: values() }),
  };
  // What a registry needs of a metric is its name and `get`; its type asks for a class of its own.
  registry.registerMetric(metric as unknown as Metric);
}
