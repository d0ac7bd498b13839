import { DependencyError } from '../dependency-error.ts';
import { type ClaimCounters, type Counter, countersOf, decisionFrom } from './counter.ts';
import type { Claim, Decision } from './limit.ts';
import {
  claimWindows,
  emptyWindow,
  resetAfterUs,
  type SlottedWindow,
  type WindowsClaim,
  windowAt,
} from './window.ts';

export interface MemoryConsumeOptions {
  /** Epoch milliseconds. */
  readonly now: () => number;
  /**
   * Subjects with units that still count, at most. Default 100 000, about 100 MB when each has three busy
   * windows. A live counter is never dropped to make room, since that would give its subject a limit anew:
   * a further subject's claims throw DependencyError `overloaded` until a window has run out.
   */
  readonly maxSubjects?: number;
  /** How long a claim's id is known, in milliseconds. Default 15 000; at least twice the caller's time-out. */
  readonly recordTtlMs?: number;
  /**
   * Ids known at a time, at most. Default 200 000. Beyond it the oldest id is forgotten before its time: a
   * retry of that claim is charged again, which is too much for its subject and never over a limit.
   */
  readonly maxRecords?: number;
}

/** Counters of one subject by their names. */
type Windows = Map<string, SlottedWindow>;

/** How long nobody looks again through all subjects for room when there was none, in milliseconds. */
const sweepPauseMs = 1000;

/** Subjects looked at for each claim, so that what ran out leaves without a timer. */
const sweptPerClaim = 2;

/**
 * Implements Consume in this process's memory: exact for one process, gone when it ends. Synchronous.
 * Throws DependencyError: `overloaded` as said at `maxSubjects`, `timeout` for a claim past its deadline.
 */
export function createMemoryConsume(options: MemoryConsumeOptions): (claim: Claim) => Decision {
  const { now, maxSubjects = 100_000, recordTtlMs = 15_000, maxRecords = 200_000 } = options;
  const windowsBySubject = new Map<string, Windows>();
  /** Until when an id is known, in epoch ms. In the order of insertion, which is that of expiry. */
  const expiryByRecord = new Map<string, number>();
  let sweep = windowsBySubject.entries();
  let sweptInVainAtMs = Number.NEGATIVE_INFINITY;

  function dropIfIdle(subject: string, windows: Windows, nowUs: number): void {
    for (const [name, window] of windows) {
      const current = windowAt(window, nowUs);
      if (current.total === 0) windows.delete(name);
      // An epoch may have begun.
      else if (current !== window) windows.set(name, current);
    }
    if (windows.size === 0) windowsBySubject.delete(subject);
  }

  function sweepSome(nowUs: number): void {
    for (let count = 0; count < sweptPerClaim; count += 1) {
      const next = sweep.next();
      if (next.done === true) {
        sweep = windowsBySubject.entries();
        return;
      }
      dropIfIdle(...next.value, nowUs);
    }
  }

  function makeRoom(nowMs: number): void {
    if (windowsBySubject.size < maxSubjects) return;
    // Its own clock may be stepped back as well, hence the absolute value.
    if (Math.abs(nowMs - sweptInVainAtMs) >= sweepPauseMs) {
      for (const [subject, windows] of windowsBySubject) dropIfIdle(subject, windows, inUs(nowMs));
      if (windowsBySubject.size < maxSubjects) return;
      sweptInVainAtMs = nowMs;
    }
    throw new DependencyError('memory', 'overloaded', {
      detail: `${maxSubjects} subjects have live counters`,
      retryAfterMs: sweepPauseMs,
    });
  }

  function remember(record: string, nowMs: number): void {
    if (expiryByRecord.size >= maxRecords) {
      const [oldest] = expiryByRecord.keys();
      if (oldest !== undefined) expiryByRecord.delete(oldest);
    }
    expiryByRecord.set(record, nowMs + recordTtlMs);
  }

  function forgetExpired(nowMs: number): void {
    for (const [record, expiresAtMs] of expiryByRecord) {
      if (expiresAtMs > nowMs) return;
      expiryByRecord.delete(record);
    }
  }

  /** Also after a denial: see WindowsClaim. */
  function keep(subject: string, claim: ClaimCounters, claimed: WindowsClaim): void {
    const kept = windowsBySubject.get(subject) ?? new Map<string, SlottedWindow>();
    for (const [index, { name }] of claim.counters.entries()) {
      const window = claimed.windows[index];
      if (window === undefined || window.total === 0) kept.delete(name);
      else kept.set(name, window);
    }
    if (kept.size > 0) windowsBySubject.set(subject, kept);
    else windowsBySubject.delete(subject);
  }

  return ({ subject, id, charges, deadlineAtMs }) => {
    const nowMs = now();
    if (nowMs > deadlineAtMs) throw new DependencyError('memory', 'timeout');
    const nowUs = inUs(nowMs);
    const claim = countersOf(charges);
    forgetExpired(nowMs);
    sweepSome(nowUs);
    const held = windowsBySubject.get(subject);
    const windows = claim.counters.map(
      ({ name, lengthUs }) => held?.get(name) ?? emptyWindow(lengthUs, nowUs),
    );
    const record = id === '' ? undefined : recordName(subject, id);
    const isRepeated = record !== undefined && expiryByRecord.has(record);
    const demands = isRepeated ? claim.counters.map(withoutUnits) : claim.counters;
    const claimed = claimWindows(windows, demands, nowUs);
    const isCharged = claimed.admitted && claim.chargesAnything && !isRepeated;
    if (isCharged && held === undefined) makeRoom(nowMs);
    keep(subject, claim, claimed);
    if (isCharged && record !== undefined) remember(record, nowMs);
    return decisionOf(claim, claimed, nowUs);
  };
}

function decisionOf(claim: ClaimCounters, claimed: WindowsClaim, nowUs: number): Decision {
  return decisionFrom(claim, {
    admitted: claimed.admitted,
    readings: claimed.windows.map((window) => ({
      total: window.total,
      resetAfterUs: resetAfterUs(window, nowUs),
    })),
    retryAfterUs: claimed.retryAfterUs,
  });
}

function withoutUnits(counter: Counter): Counter {
  return { ...counter, units: 0 };
}

/** Prefixed by the subject's length: no subject and id can be taken for another subject and id. */
function recordName(subject: string, id: string): string {
  return `${subject.length}:${subject}${id}`;
}

function inUs(ms: number): number {
  return Math.floor(ms * 1000);
}
