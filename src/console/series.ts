import type { ReadMetric } from '../process/read-metric.ts';

/** What happened in about one second. */
export interface Sample {
  readonly seq: number;
  readonly atMs: number;
  /** Since the sample before; about 1. */
  readonly seconds: number;
  readonly allowed: number;
  /** Of denials, those that happened, by reason. */
  readonly denied: Readonly<Record<string, number>>;
  /** Decisions of the limit stage by tier: passed, denied. */
  readonly tiers: Readonly<Record<string, readonly [passed: number, denied: number]>>;
  /** Upper bounds of the buckets in which half, and 99 of 100, of the Checks ended, in ms; undefined without any. */
  readonly p50Ms?: number;
  readonly p99Ms?: number;
}

export interface SeriesOptions {
  readonly read: ReadMetric;
  readonly now: () => number;
}

export interface Series {
  /** Takes one sample; once a second. Rejects where a metric can not be read. */
  readonly tick: () => Promise<void>;
  /** Newer than `seq`, oldest first. */
  readonly samplesAfter: (seq: number) => readonly Sample[];
}

interface Totals {
  readonly allowed: number;
  readonly denied: ReadonlyMap<string, number>;
  readonly tiers: ReadonlyMap<string, readonly [number, number]>;
  /** By upper bound in seconds, cumulative. */
  readonly buckets: ReadonlyMap<number, number>;
}

/** Fifteen minutes. */
const maxSamples = 900;

/** The metrics of this process over the last minutes. It reads what is counted anyway, so no request pays for it. */
export function createSeries({ read, now }: SeriesOptions): Series {
  let samples: Sample[] = [];
  let seq = 0;
  let before: Totals | undefined;
  let beforeMs = 0;

  return {
    async tick() {
      const totals = await readTotals(read);
      const atMs = now();
      if (before !== undefined) {
        seq += 1;
        const seconds = Math.max(0.001, (atMs - beforeMs) / 1000);
        samples.push({ seq, atMs, seconds, ...difference(totals, before) });
        if (samples.length >= 2 * maxSamples) samples = samples.slice(-maxSamples);
      }
      before = totals;
      beforeMs = atMs;
    },
    samplesAfter: (after) => samples.slice(-maxSamples).filter((sample) => sample.seq > after),
  };
}

async function readTotals(read: ReadMetric): Promise<Totals> {
  const [checks, limits, durations] = await Promise.all([
    read('tiergate_checks_total'),
    read('tiergate_limit_decisions_total'),
    read('tiergate_check_duration_seconds'),
  ]);
  let allowed = 0;
  const denied = new Map<string, number>();
  for (const { labels, value } of checks) {
    if (labels['result'] === 'allowed') allowed += value;
    else if (value > 0) add(denied, String(labels['reason']), value);
  }
  const tiers = new Map<string, readonly [number, number]>();
  for (const { labels, value } of limits) {
    const tier = String(labels['tier']);
    const [passed, refused] = tiers.get(tier) ?? [0, 0];
    const hasPassed = labels['result'] === 'allowed' || labels['result'] === 'shadow_denied';
    tiers.set(tier, hasPassed ? [passed + value, refused] : [passed, refused + value]);
  }
  const buckets = new Map<number, number>();
  for (const { labels, value } of durations) {
    const { le } = labels;
    if (le !== undefined) add(buckets, le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), value);
  }
  return { allowed, denied, tiers, buckets };
}

function difference(totals: Totals, before: Totals): Omit<Sample, 'seq' | 'atMs' | 'seconds'> {
  const denied = [...totals.denied].flatMap(([reason, total]) => {
    const more = total - (before.denied.get(reason) ?? 0);
    return more > 0 ? [[reason, more] as const] : [];
  });
  const tiers = [...totals.tiers].flatMap(([tier, [passed, refused]]) => {
    const [passedBefore, refusedBefore] = before.tiers.get(tier) ?? [0, 0];
    const more = [passed - passedBefore, refused - refusedBefore] as const;
    return more[0] > 0 || more[1] > 0 ? [[tier, more] as const] : [];
  });
  const buckets = [...totals.buckets]
    .map(([bound, total]) => [bound, total - (before.buckets.get(bound) ?? 0)] as const)
    .toSorted(([a], [b]) => a - b);
  const count = buckets.at(-1)?.[1] ?? 0;
  /** Beyond the last bound nothing is known but that it took longer. */
  const last = buckets.at(-2)?.[0] ?? 0;
  const quantile = (share: number): number => {
    const bound = buckets.find(([, total]) => total >= share * count)?.[0] ?? last;
    return Math.min(bound, last) * 1000;
  };
  return {
    allowed: totals.allowed - before.allowed,
    denied: Object.fromEntries(denied),
    tiers: Object.fromEntries(tiers),
    ...(count > 0 && { p50Ms: quantile(0.5), p99Ms: quantile(0.99) }),
  };
}

function add<Key>(sums: Map<Key, number>, key: Key, value: number): void {
  sums.set(key, (sums.get(key) ?? 0) + value);
}
