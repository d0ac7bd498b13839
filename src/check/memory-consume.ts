import { DependencyError } from '../dependency-error.ts';
import type { WindowUnit } from '../policy/policy.ts';
import type { Block, BlockClaim } from './block.ts';
import { type ActiveBoost, type Boost, boostedLimit, requireBoost, type ResetCounters } from './boost.ts';
import { type ClaimCounters, type Counter, counterName, countersOf, decisionFrom } from './counter.ts';
import type { Claim, Decision } from './limit.ts';
import { createMemoryRecords, type ChargedCounter } from './memory-records.ts';
import { type Settled, type Settlement, usedOf } from './settlement.ts';
import {
  chargedSlot,
  claimWindows,
  emptyWindow,
  resetAfterUs,
  settledWindow,
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

/** The ports of the counters, in this process's memory: exact for one process, gone when it ends. Synchronous. */
export interface MemoryCounters {
  /** Throws DependencyError: `overloaded` as said at `maxSubjects`, `timeout` for a claim past its deadline. */
  readonly consume: (claim: Claim) => Decision;
  readonly takeBlock: (claim: BlockClaim) => Block;
  readonly settle: (settlement: Settlement) => Settled;
  readonly setBoost: (subject: string, boost: Boost | undefined) => void;
  readonly resetCounters: (...of: Parameters<ResetCounters>) => void;
}

/** Counters of one subject by their names. */
type Windows = Map<string, SlottedWindow>;

interface KeptBoost {
  readonly percent: number;
  readonly endsAtMs: number;
}

const usPerMs = 1000;

/** How long nobody looks again through all subjects for room when there was none, in milliseconds. */
const sweepPauseMs = 1000;

/** Subjects looked at for each claim, so that what ran out leaves without a timer. */
const sweptPerClaim = 2;

/** Implements Consume alone. */
export function createMemoryConsume(options: MemoryConsumeOptions): MemoryCounters['consume'] {
  return createMemoryCounters(options).consume;
}

export function createMemoryCounters(options: MemoryConsumeOptions): MemoryCounters {
  const { now, maxSubjects = 100_000, recordTtlMs = 15_000, maxRecords = 200_000 } = options;
  const windowsBySubject = new Map<string, Windows>();
  const boostBySubject = new Map<string, KeptBoost>();
  const records = createMemoryRecords({ recordTtlMs, maxRecords });
  let sweep = windowsBySubject.entries();
  let newestEpoch = 0;
  let sweptInVainAtMs = Number.NEGATIVE_INFINITY;

  /** Of an epoch of its own, though many begin within one millisecond: what was charged to another never meets it. */
  function newWindow(lengthUs: number, nowUs: number): SlottedWindow {
    newestEpoch = Math.max(nowUs, newestEpoch + 1);
    return { ...emptyWindow(lengthUs, nowUs), epoch: newestEpoch };
  }

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

  /** Windows without units are not kept; others also after a denial: see WindowsClaim. */
  function keep(subject: string, kept: Windows): void {
    for (const [name, { total }] of kept) if (total === 0) kept.delete(name);
    if (kept.size > 0) windowsBySubject.set(subject, kept);
    else windowsBySubject.delete(subject);
  }

  function boostOf(subject: string, nowMs: number): ActiveBoost | undefined {
    const boost = boostBySubject.get(subject);
    if (boost === undefined) return undefined;
    if (boost.endsAtMs > nowMs) return { percent: boost.percent, endsAfterMs: boost.endsAtMs - nowMs };
    boostBySubject.delete(subject);
    return undefined;
  }

  function takeBlock({ subject, id, charges, deadlineAtMs, aheadMs }: BlockClaim): Block {
    const nowMs = now();
    if (nowMs > deadlineAtMs) throw new DependencyError('memory', 'timeout');
    const nowUs = inUs(nowMs);
    const claim = countersOf(charges);
    records.forgetExpired(nowMs);
    sweepSome(nowUs);
    const held = windowsBySubject.get(subject);
    const windows = claim.counters.map(({ name, lengthUs }) => held?.get(name) ?? newWindow(lengthUs, nowUs));
    const boost = boostOf(subject, nowMs);
    const record = id === '' ? undefined : records.find(subject, id);
    const demands = claim.counters.map((counter) => demandOf(counter, boost, record !== undefined));
    const claimed = claimWindows(windows, demands, nowUs, inUs(aheadMs));
    const isCharged = claimed.admitted && claim.chargesAnything && record === undefined;
    if (isCharged && held === undefined) makeRoom(nowMs);
    const kept = held ?? new Map<string, SlottedWindow>();
    for (const [index, { name }] of claim.counters.entries()) {
      const window = claimed.windows[index];
      if (window !== undefined) kept.set(name, window);
    }
    keep(subject, kept);
    if (record !== undefined) records.rely(subject, id);
    if (isCharged && id !== '') records.remember(subject, id, chargedCounters(claim, claimed), nowMs);
    // One that was taken back was denied, and stays so.
    const decision = decisionOf(claim, record === 'takenBack' ? denied(claimed) : claimed, { nowUs, boost });
    return { ...decision, goodForMs: isCharged ? claimed.aheadUs / usPerMs : 0 };
  }

  function consume(claim: Claim): Decision {
    const { goodForMs: _none, ...decision } = takeBlock({ ...claim, aheadMs: 0 });
    return decision;
  }

  function settle(settlement: Settlement): Settled {
    const { subject, id, used } = settlement;
    const nowMs = now();
    records.forgetExpired(nowMs);
    const charged = records.settle(subject, id, used === 'nothing' ? 'takenBack' : 'settled', nowMs);
    if (charged === undefined) return 'unknown';
    const nowUs = inUs(nowMs);
    const kept = windowsBySubject.get(subject) ?? new Map<string, SlottedWindow>();
    for (const { name, unit, lengthUs, slot } of charged) {
      const units = usedOf(settlement, unit) ?? slot.units;
      const window = windowAt(kept.get(name) ?? newWindow(lengthUs, nowUs), nowUs);
      kept.set(name, settledWindow(window, slot, units, nowUs));
    }
    keep(subject, kept);
    return 'settled';
  }

  return {
    consume,
    takeBlock,
    settle,
    setBoost(subject, boost) {
      if (boost === undefined) boostBySubject.delete(subject);
      else {
        requireBoost(boost);
        for (const other of boostBySubject.keys()) boostOf(other, now());
        boostBySubject.set(subject, { percent: boost.percent, endsAtMs: now() + boost.durationMs });
      }
    },
    resetCounters(subject, windows) {
      const kept = windowsBySubject.get(subject);
      if (kept === undefined) return;
      for (const window of windows) kept.delete(counterName(window));
      keep(subject, kept);
    },
  };
}

function demandOf(counter: Counter, boost: ActiveBoost | undefined, isKnown: boolean): Counter {
  const { units, limit } = counter;
  return {
    ...counter,
    units: isKnown ? 0 : units,
    limit: limit === undefined || boost === undefined ? limit : boostedLimit(limit, boost.percent),
  };
}

function denied(claimed: WindowsClaim): WindowsClaim {
  return { ...claimed, admitted: false, retryAfterUs: 0 };
}

function chargedCounters(claim: ClaimCounters, claimed: WindowsClaim): readonly ChargedCounter[] {
  return claim.counters.flatMap(({ name, lengthUs, units, isShadow }, index) => {
    const window = claimed.windows[index];
    if (window === undefined || units === 0 || (isShadow === true && claimed.leftOut)) return [];
    return [{ name, unit: unitOf(claim, index), lengthUs, slot: chargedSlot(window, units) }];
  });
}

function unitOf({ charges, counterOfCharge }: ClaimCounters, counter: number): WindowUnit {
  const charge = charges[counterOfCharge.indexOf(counter)];
  if (charge === undefined) throw new RangeError('each counter is some charge of the claim');
  return charge.window.unit;
}

function decisionOf(
  claim: ClaimCounters,
  claimed: WindowsClaim,
  { nowUs, boost }: { readonly nowUs: number; readonly boost: ActiveBoost | undefined },
): Decision {
  return decisionFrom(claim, {
    admitted: claimed.admitted,
    leftOut: claimed.leftOut,
    readings: claimed.windows.map((window) => ({
      total: window.total,
      resetAfterUs: resetAfterUs(window, nowUs),
    })),
    retryAfterUs: claimed.retryAfterUs,
    ...(boost !== undefined && { boost }),
  });
}

function inUs(ms: number): number {
  return Math.floor(ms * usPerMs);
}
