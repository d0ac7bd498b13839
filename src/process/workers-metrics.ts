import { AggregatorRegistry, Counter, Gauge, Registry } from 'prom-client';
import type { MetricsOfProcess } from './worker-message.ts';

export interface WorkersMetricsOptions {
  readonly count: number;
  readonly restarts: () => number;
  readonly ofWorkers: () => Promise<readonly MetricsOfProcess[]>;
}

export interface WorkersMetrics {
  readonly setReady: (workers: number) => void;
  readonly contentType: string;
  /** Of all workers as one: sums, and of states the one that an operator has to know of (prom-client's aggregators). */
  readonly text: () => Promise<string>;
}

/** The primary's `/metrics`. */
export function createWorkersMetrics(options: WorkersMetricsOptions): WorkersMetrics {
  const { count, restarts, ofWorkers } = options;
  const own = new Registry();
  const registers = [own];
  new Gauge({
    name: 'tiergate_workers',
    help: 'Worker processes that the process file asks for.',
    registers,
  }).set(count);
  const ready = new Gauge({
    name: 'tiergate_workers_ready',
    help: 'Worker processes that take requests.',
    registers,
  });
  const restarted = new Counter({
    name: 'tiergate_worker_restarts_total',
    help: 'Worker processes that took the place of one that had ended.',
    registers,
    collect() {
      restarted.reset();
      restarted.inc(restarts());
    },
  });
  return {
    setReady: (number) => ready.set(number),
    contentType: own.contentType,
    async text() {
      const workers = AggregatorRegistry.aggregate([...(await ofWorkers())]);
      return `${await workers.metrics()}\n${await own.metrics()}`;
    },
  };
}
