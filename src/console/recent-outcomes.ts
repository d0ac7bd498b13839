import { type DenialReason, denialStatus } from '../check/denial.ts';
import type { Outcome } from '../check/outcome.ts';
import { createTopSubjects, type TopSubject } from './top-subjects.ts';

/** A denial as the page shows it: as much as its line of the decision log, and never a path, a header or an address. */
export interface RecentDenial {
  /** Counts up; what is missing between two was not kept. */
  readonly seq: number;
  readonly atMs: number;
  readonly reason: DenialReason;
  readonly status: number;
  readonly detail: string;
  readonly subject: string | undefined;
  readonly tier: string | undefined;
  readonly model: string | undefined;
  readonly method: string;
  readonly requestId: string;
  readonly retryAfterMs: number | undefined;
}

export interface RecentOutcomesOptions {
  readonly random: () => number;
  readonly now: () => number;
}

export interface RecentOutcomes {
  /** On the way of every request: see `createRecentOutcomes` for what it costs. */
  readonly record: (outcome: Outcome, request: { readonly id: string; readonly method: string }) => void;
  /** Once a second. */
  readonly tick: () => void;
  /** Newer than `seq`, oldest first. */
  readonly denialsAfter: (seq: number) => readonly RecentDenial[];
  readonly topSubjects: (most: number) => readonly TopSubject[];
}

const maxDenials = 200;
/** Of one second: a flood of denials must not cost more than the answers to it. */
const maxDenialsPerSecond = 50;
/** Outcomes of one second that are looked at for their subject; of more, one in so many. */
const maxLookedAtPerSecond = 200;

/**
 * The last denials and the busiest subjects, in bounded memory. Of an outcome that is neither kept nor looked at,
 * the cost is two additions and two comparisons: of a flood at most fifty denials and some two hundred subjects a
 * second are more than that.
 */
export function createRecentOutcomes({ random, now }: RecentOutcomesOptions): RecentOutcomes {
  const subjects = createTopSubjects({ maxSubjects: 200, minutes: 15, now });
  let denials: RecentDenial[] = [];
  let seq = 0;
  let seen = 0;
  let keptThisSecond = 0;
  let oneIn = 1;
  let untilNext = 1;

  return {
    record(outcome, { id, method }) {
      seen += 1;
      if (outcome.denied && keptThisSecond < maxDenialsPerSecond) {
        keptThisSecond += 1;
        seq += 1;
        const { reason, detail, subject, tier, model, retryAfterMs } = outcome;
        denials.push({
          seq,
          atMs: now(),
          reason,
          status: denialStatus[reason].http,
          detail,
          subject,
          tier,
          model: model?.id,
          method,
          requestId: id,
          retryAfterMs,
        });
        if (denials.length >= 2 * maxDenials) denials = denials.slice(-maxDenials);
      }
      untilNext -= 1;
      if (untilNext > 0) return;
      // By chance and not every nth: traffic with a rhythm would be sampled by that rhythm.
      untilNext = oneIn === 1 ? 1 : 1 + Math.floor(random() * (2 * oneIn - 1));
      const { subject, tier, denied } = outcome;
      if (subject !== undefined) subjects.observe({ subject, tier, denied, weight: oneIn });
    },
    tick() {
      oneIn = Math.max(1, Math.ceil(seen / maxLookedAtPerSecond));
      if (untilNext > 2 * oneIn) untilNext = 1;
      seen = 0;
      keptThisSecond = 0;
    },
    denialsAfter: (after) => denials.slice(-maxDenials).filter((denial) => denial.seq > after),
    topSubjects: subjects.top,
  };
}
