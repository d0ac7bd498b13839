import type { Registry } from 'prom-client';
import { type DenialReason, denialStatus } from '../check/denial.ts';
import type { Outcome } from '../check/outcome.ts';
import { type Count, createHotCounter, createHotHistogram, type Observe } from './hot-metrics.ts';

/** The way that a request came in. */
export type Door = 'grpc' | 'http';

/** `unavailable`: nobody could tell (503). `failed`: a bug of ours (500). Neither is a refusal. */
export type CheckResult = 'allowed' | 'denied' | 'unavailable' | 'failed';

export interface CheckMetrics {
  /** Counts an outcome that left by a door, and how long it took. */
  readonly observeOutcome: (door: Door, outcome: Outcome, seconds: number) => void;
}

/** The hot path takes some tens of microseconds; a Check's default deadline is 150 ms. */
const checkBuckets = [
  0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1,
  2.5,
];

const doors = ['grpc', 'http'] as const satisfies readonly Door[];
const results = ['allowed', 'denied', 'unavailable', 'failed'] as const satisfies readonly CheckResult[];

/** What a limit said. `shadow_denied`: a shadow window had no room, and the request passed all the same. */
type LimitResult = 'allowed' | 'denied' | 'shadow_denied' | 'unavailable';

/** Reasons that the limit stage gives. */
const limitResults: Partial<Record<DenialReason, LimitResult>> = {
  requests_exceeded: 'denied',
  tokens_exceeded: 'denied',
  concurrency_exceeded: 'denied',
  capacity_exceeded: 'denied',
  limit_unavailable: 'unavailable',
};

export function createCheckMetrics(registry: Registry): CheckMetrics {
  const checks = createHotCounter({
    registry,
    name: 'tiergate_checks_total',
    help: 'Checks answered, by the door they came through, their result and the reason of a denial.',
  });
  const durations = createHotHistogram({
    registry,
    name: 'tiergate_check_duration_seconds',
    help: 'Time from a Check read to its answer decided.',
    buckets: checkBuckets,
  });
  const limits = createHotCounter({
    registry,
    name: 'tiergate_limit_decisions_total',
    help: 'Decisions of the limit stage, by tier.',
  });

  const allowedBy = byDoor((door) => checks({ door, result: 'allowed', reason: 'none' }));
  const deniedBy = byDoor((door) => byReason((reason) => checks({ door, result: resultOf(reason), reason })));
  const durationBy = byDoor((door) => byResult((result) => durations({ door, result })));

  /** Tiers come and go with the policy document; their number is the operator's. */
  const limitsByTier = new Map<string, Readonly<Record<LimitResult, Count>>>();
  function countLimit(tier: string, result: LimitResult): void {
    let counts = limitsByTier.get(tier);
    if (counts === undefined) {
      const counting = (word: LimitResult) => limits({ tier, result: word });
      counts = {
        allowed: counting('allowed'),
        denied: counting('denied'),
        shadow_denied: counting('shadow_denied'),
        unavailable: counting('unavailable'),
      };
      limitsByTier.set(tier, counts);
    }
    counts[result]();
  }

  return {
    observeOutcome(door, outcome, seconds) {
      if (outcome.denied) {
        deniedBy[door][outcome.reason]();
        durationBy[door][resultOf(outcome.reason)](seconds);
        const limit = limitResults[outcome.reason];
        if (limit !== undefined && outcome.tier !== undefined) countLimit(outcome.tier, limit);
        return;
      }
      allowedBy[door]();
      durationBy[door].allowed(seconds);
      if (outcome.kind !== 'model' || outcome.tier === undefined) return;
      countLimit(
        outcome.tier,
        outcome.windows.some(({ exceeded }) => exceeded) ? 'shadow_denied' : 'allowed',
      );
    },
  };
}

function resultOf(reason: DenialReason): CheckResult {
  const { http } = denialStatus[reason];
  if (http === 503) return 'unavailable';
  return http === 500 ? 'failed' : 'denied';
}

function byDoor<T>(make: (door: Door) => T): Readonly<Record<Door, T>> {
  return Object.fromEntries(doors.map((door) => [door, make(door)])) as Record<Door, T>;
}

function byResult(make: (result: CheckResult) => Observe): Readonly<Record<CheckResult, Observe>> {
  return Object.fromEntries(results.map((result) => [result, make(result)])) as Record<CheckResult, Observe>;
}

function byReason(make: (reason: DenialReason) => Count): Readonly<Record<DenialReason, Count>> {
  const reasons = Object.keys(denialStatus) as DenialReason[];
  return Object.fromEntries(reasons.map((reason) => [reason, make(reason)])) as Record<DenialReason, Count>;
}
