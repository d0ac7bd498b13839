import type { Registry } from 'prom-client';

/** One cell of a metric. A histogram's are its buckets (`le`), cumulative, its sum and its count (without `le`). */
export interface MetricValue {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** The cells of a metric by its name; none where no part of this process has it. */
export type ReadMetric = (name: string) => Promise<readonly MetricValue[]>;

/** Reads single metrics of a registry, without the cost of all the others. */
export function createReadMetric(registry: Pick<Registry, 'getSingleMetric'>): ReadMetric {
  return async (name) => {
    const metric = registry.getSingleMetric(name);
    if (metric === undefined) return [];
    const { values } = await metric.get();
    return values.map(({ labels, value }) => ({ labels: labels as MetricValue['labels'], value }));
  };
}
