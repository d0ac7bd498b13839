import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type Count, createHotCounter } from './hot-metrics.ts';

/** What Envoys tell and ask beside Check, and what became of it. Results are the code's own words, from a fixed few. */
export interface TransportMetrics {
  /** A call of ShouldRateLimit. */
  readonly observeRateLimit: (result: string, seconds: number) => void;
  /** A descriptor that names no limit. */
  readonly rateLimitFault: (fault: string) => void;
  readonly observeAccessLog: (event: string) => void;
  readonly trackAccessLog: (figures: {
    readonly streams: () => number;
    readonly queued: () => number;
  }) => void;
  readonly observeExternalProcessor: (event: string) => void;
  /** The end of a request, told by a call or a stream, is lost. */
  readonly settlementDropped: () => void;
  readonly trackSettlements: (figures: {
    readonly streams: () => number;
    readonly heldBytes: () => number;
    readonly queued: () => number;
  }) => void;
  readonly observeSlot: (tier: string, result: string) => void;
  readonly observeRelease: (result: string) => void;
}

/** Envoy's filter gives up after 20 ms unless told otherwise. */
const rateLimitBuckets = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.015, 0.02, 0.05, 0.1, 0.5];

export function createTransportMetrics(registry: Registry): TransportMetrics {
  const registers = [registry];
  const rateLimits = new Histogram({
    name: 'tiergate_rate_limit_call_duration_seconds',
    help: 'Calls of ShouldRateLimit, by how they ended, and their time.',
    labelNames: ['result'],
    buckets: rateLimitBuckets,
    registers,
  });
  const faults = new Counter({
    name: 'tiergate_rate_limit_faults_total',
    help: 'Descriptors that name no limit, by what is wrong with them: a mistake in the configuration of a gateway.',
    labelNames: ['fault'],
    registers,
  });
  const hot = (name: string, help: string) => byLabels(createHotCounter({ registry, name, help }));
  const entries = hot(
    'tiergate_access_log_events_total',
    "What came by Envoy's access log: entry, passing, dropped, failed, foreign, broken.",
  );
  const answers = hot(
    'tiergate_ext_proc_events_total',
    "What came by Envoy's ext_proc filter: ended, cut, unreserved, dropped, answering, foreign, broken.",
  );
  const dropped = new Counter({
    name: 'tiergate_settlements_dropped_total',
    help: 'Ends of requests that found too many waiting: what these had reserved stays charged.',
    registers,
  });
  const slots = hot(
    'tiergate_slots_total',
    'Wishes to have one more request open, by tier and what came of them.',
  );
  const releases = hot(
    'tiergate_slot_releases_total',
    'Ends of requests that had a slot, by what came of them.',
  );
  return {
    observeRateLimit: (result, seconds) => rateLimits.observe({ result }, seconds),
    rateLimitFault: (fault) => faults.inc({ fault }),
    observeAccessLog: (event) => entries({ event })(),
    trackAccessLog({ streams, queued }) {
      gauge(registers, 'tiergate_access_log_streams', 'Access log streams that are open.', streams);
      gauge(registers, 'tiergate_access_log_queued', 'Access log entries that wait.', queued);
    },
    observeExternalProcessor: (event) => answers({ event })(),
    settlementDropped: () => dropped.inc(),
    trackSettlements({ streams, heldBytes, queued }) {
      gauge(registers, 'tiergate_ext_proc_streams', 'Streams of ext_proc filters that are open.', streams);
      gauge(registers, 'tiergate_ext_proc_held_bytes', 'Parts of answers that are held.', heldBytes);
      gauge(registers, 'tiergate_settlements_queued', 'Ends of requests that wait to be settled.', queued);
    },
    observeSlot: (tier, result) => slots({ tier, result })(),
    observeRelease: (result) => releases({ result })(),
  };
}

function gauge(registers: Registry[], name: string, help: string, value: () => number): void {
  const made: Gauge = new Gauge({ name, help, registers, collect: () => made.set(value()) });
}

/** The cell of each label set, found once. */
function byLabels(counter: (labels: Readonly<Record<string, string>>) => Count) {
  const cells = new Map<string, Count>();
  return (labels: Readonly<Record<string, string>>): Count => {
    const key = Object.values(labels).join('\0');
    let count = cells.get(key);
    if (count === undefined) {
      count = counter(labels);
      cells.set(key, count);
    }
    return count;
  };
}
