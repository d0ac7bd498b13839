/** What came of requests, then by the log and now by the document. Weighted: a line that stands for ten counts ten. */
export interface Tally {
  readonly requests: number;
  readonly deniedThen: number;
  readonly deniedNow: number;
  /** Passed then, denied now. */
  readonly newlyDenied: number;
  /** Denied by a limit then, passes now. */
  readonly newlyAllowed: number;
}

export interface NamedTally extends Tally {
  readonly name: string;
}

/** A limit that denies, with how many requests it denies now. */
export interface DenyingLimit {
  readonly tier: string;
  readonly scope: string;
  readonly unit: string;
  readonly windowMs: number;
  readonly limit: number;
  readonly denied: number;
}

export interface TimelineBucket {
  /** Epoch milliseconds of its begin. */
  readonly atMs: number;
  readonly requests: number;
  readonly deniedThen: number;
  readonly deniedNow: number;
}

/** Who would have been denied: plain data, the same as JSON. */
export interface Simulation {
  /** Lines of decisions; each stands for one request or, in a sampled log, for as many as it says. */
  readonly decisions: number;
  /** RFC 3339, UTC. */
  readonly from: string;
  readonly to: string;
  /** Of requests that a limit decided. */
  readonly total: Tally;
  /** Denied then for other reasons than a limit; no limit changes that. By reason. */
  readonly unaffected: Readonly<Record<string, number>>;
  readonly byTier: readonly NamedTally[];
  /** Those of whom most changes come first; no more than `mostNames`. */
  readonly byUser: readonly NamedTally[];
  readonly byModel: readonly NamedTally[];
  /** All users, also those that `byUser` has no room for. */
  readonly users: number;
  readonly deniedBy: readonly DenyingLimit[];
  readonly timeline: { readonly bucketMs: number; readonly buckets: readonly TimelineBucket[] };
  /** Sentences about what was left out, or is coarser than it looks. */
  readonly notes: readonly string[];
}

export const mostNames = 50;

export interface Change {
  readonly deniedThen: boolean;
  readonly requests: number;
  readonly deniedNow: number;
}

type Counts = { -readonly [Key in keyof Tally]: Tally[Key] };

const nothing: Tally = { requests: 0, deniedThen: 0, deniedNow: 0, newlyDenied: 0, newlyAllowed: 0 };

function count(counts: Counts, { deniedThen, requests, deniedNow }: Change): void {
  counts.requests += requests;
  counts.deniedNow += deniedNow;
  if (deniedThen) {
    counts.deniedThen += requests;
    counts.newlyAllowed += requests - deniedNow;
  } else counts.newlyDenied += deniedNow;
}

export interface Tallies {
  readonly add: (name: string, change: Change) => void;
  readonly size: () => number;
  readonly top: (most: number) => readonly NamedTally[];
}

export function createTallies(): Tallies {
  const countsByName = new Map<string, Counts>();
  return {
    add(name, change) {
      let counts = countsByName.get(name);
      if (counts === undefined) {
        counts = { ...nothing };
        countsByName.set(name, counts);
      }
      count(counts, change);
    },
    size: () => countsByName.size,
    top: (most) =>
      [...countsByName]
        .map(([name, counts]): NamedTally => Object.assign({ name }, counts))
        .sort((a, b) => changed(b) - changed(a) || b.deniedNow - a.deniedNow || b.requests - a.requests)
        .slice(0, most),
  };
}

function changed({ newlyDenied, newlyAllowed }: Tally): number {
  return newlyDenied + newlyAllowed;
}

const mostBuckets = 120;

/** Buckets of equal length, doubled whenever a later time needs more of them than there may be. */
export function createTimeline(): {
  readonly add: (atMs: number, change: Change) => void;
  readonly result: () => Simulation['timeline'];
} {
  let bucketMs = 1000;
  let firstMs: number | undefined;
  let buckets: { requests: number; deniedThen: number; deniedNow: number }[] = [];

  function halve(): void {
    bucketMs *= 2;
    const kept: typeof buckets = [];
    for (const [at, bucket] of buckets.entries()) {
      const into = (kept[Math.floor(at / 2)] ??= { requests: 0, deniedThen: 0, deniedNow: 0 });
      into.requests += bucket.requests;
      into.deniedThen += bucket.deniedThen;
      into.deniedNow += bucket.deniedNow;
    }
    buckets = kept;
  }

  return {
    add(atMs, { requests, deniedThen, deniedNow }) {
      firstMs ??= atMs;
      while ((atMs - firstMs) / bucketMs >= mostBuckets) halve();
      const at = Math.max(0, Math.floor((atMs - firstMs) / bucketMs));
      while (buckets.length <= at) buckets.push({ requests: 0, deniedThen: 0, deniedNow: 0 });
      const bucket = buckets[at];
      if (bucket === undefined) return;
      bucket.requests += requests;
      bucket.deniedThen += deniedThen ? requests : 0;
      bucket.deniedNow += deniedNow;
    },
    result: () => ({
      bucketMs,
      buckets: buckets.map((bucket, at) => Object.assign({ atMs: (firstMs ?? 0) + at * bucketMs }, bucket)),
    }),
  };
}
