import { randomBytes } from 'node:crypto';
import { DependencyError } from '../dependency-error.ts';
import type { Block, BlockClaim } from './block.ts';
import { type ActiveBoost, type Boost, boostedLimit, type ResetCounters } from './boost.ts';
import { type ClaimCounters, type Counter, counterName, countersOf, decisionFrom } from './counter.ts';
import type { KeyedId } from './keyed-id.ts';
import type { Claim, Decision } from './limit.ts';
import { createMemoryBoosts } from './memory-boosts.ts';
import { type ChargedClaim, createMemoryRecords, type ChargedCounter } from './memory-records.ts';
import { createReservationNames, type Reservation, type ReservationNames, unitsOf } from './reservation.ts';
import { type Settled, type Settlement, type TokensUsed, unitsUsed } from './settlement.ts';
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
  /** How long a reservation waits for its settlement, in milliseconds: longer than any request. Default 600 000. */
  readonly reservationTtlMs?: number;
  /** What reservations are called here. Default: names that this process alone can make. */
  readonly reservationNames?: ReservationNames;
}

/** The ports of the counters, in this process's memory: exact for one process, gone when it ends. Synchronous. */
export interface MemoryCounters {
  /** Throws DependencyError: `overloaded` as said at `maxSubjects`, `timeout` for a claim past its deadline. */
  readonly consume: (claim: Claim) => Decision;
  readonly takeBlock: (claim: BlockClaim) => Block;
  readonly settle: (settlement: Settlement) => Settled;
  readonly settleTokens: (reservation: KeyedId, used: TokensUsed) => Settled;
  readonly reservationNames: ReservationNames;
  readonly setBoost: (subject: string, boost: Boost | undefined) => void;
  readonly resetCounters: (...of: Parameters<ResetCounters>) => void;
}

/** Counters of one subject by their names. */
type Windows = Map<string, SlottedWindow>;

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
  const { reservationTtlMs = 600_000, reservationNames = createReservationNames(randomBytes(32)) } = options;
  const windowsBySubject = new Map<string, Windows>();
  const { boostOf, setBoost } = createMemoryBoosts(now);
  const records = createMemoryRecords({ recordTtlMs, maxRecords });
  /** By their tags, as those know them who settle by the id alone. */
  const reservations = createMemoryRecords({ recordTtlMs: reservationTtlMs, maxRecords });
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

  function takeBlock({ subject, id, charges, deadlineAtMs, aheadMs, reservation }: BlockClaim): Block {
    const nowMs = now();
    if (nowMs > deadlineAtMs) throw new DependencyError('memory', 'timeout');
    const nowUs = inUs(nowMs);
    const claim = countersOf(charges);
    forgetExpired(nowMs);
    sweepSome(nowUs);
    const held = windowsBySubject.get(subject);
    const windows = claim.counters.map(({ name, lengthUs }) => held?.get(name) ?? newWindow(lengthUs, nowUs));
    const boost = boostOf(subject, nowMs);
    const [known, whose] = reservation === undefined ? [records, subject] : [reservations, reservation.tag];
    const record = id === '' ? undefined : known.find(whose, id);
    const demands = claim.counters.map((counter) =>
      demandOf(counter, { boost, reservation, isKnown: record !== undefined }),
    );
    const claimed = claimWindows(windows, demands, nowUs, inUs(aheadMs));
    const isCharged = claimed.admitted && claim.chargesAnything && record === undefined;
    if (isCharged && held === undefined) makeRoom(nowMs);
    const kept = held ?? new Map<string, SlottedWindow>();
    for (const [index, { name }] of claim.counters.entries()) {
      const window = claimed.windows[index];
      if (window !== undefined) kept.set(name, window);
    }
    keep(subject, kept);
    if (record !== undefined) known.rely(whose, id);
    if (isCharged && id !== '') {
      const charged = chargedCounters(claim, claimed, reservation);
      known.remember(whose, id, { subject, charged, reservation }, nowMs);
    }
    // One that was taken back was denied, and stays so.
    const told = record === 'takenBack' ? denied(claimed) : claimed;
    const decision = decisionOf(claim, told, { nowUs, boost, reservation });
    return { ...decision, goodForMs: isCharged ? claimed.aheadUs / usPerMs : 0 };
  }

  function consume(claim: Claim): Decision {
    const { goodForMs: _none, ...decision } = takeBlock({ ...claim, aheadMs: 0 });
    return decision;
  }

  function forgetExpired(nowMs: number): void {
    records.forgetExpired(nowMs);
    reservations.forgetExpired(nowMs);
  }

  function settleClaim({ subject, charged, reservation }: ChargedClaim, used: Settlement['used']): void {
    const nowUs = inUs(now());
    const kept = windowsBySubject.get(subject) ?? new Map<string, SlottedWindow>();
    for (const { name, unit, lengthUs, slot } of charged) {
      const units = unitsUsed(used, unit, reservation?.weight) ?? slot.units;
      const window = windowAt(kept.get(name) ?? newWindow(lengthUs, nowUs), nowUs);
      kept.set(name, settledWindow(window, slot, units, nowUs));
    }
    keep(subject, kept);
  }

  function settle({ subject, id, used }: Settlement): Settled {
    const nowMs = now();
    forgetExpired(nowMs);
    const how = used === 'nothing' ? 'takenBack' : 'settled';
    const claim =
      records.settle(subject, id, how, nowMs) ??
      reservations.settle(reservationNames.tagOf(subject), id, how, nowMs);
    if (claim === undefined) return 'unknown';
    settleClaim(claim, used);
    return 'settled';
  }

  function settleTokens({ tag, name }: KeyedId, used: TokensUsed): Settled {
    const nowMs = now();
    forgetExpired(nowMs);
    const claim = reservations.settle(tag, name, 'settled', nowMs);
    if (claim !== undefined) settleClaim(claim, used);
    const others = reservations.othersOf(tag, name).map((other) => settleTokens({ tag: other, name }, used));
    return claim !== undefined || others.includes('settled') ? 'settled' : 'unknown';
  }

  return {
    consume,
    takeBlock,
    settle,
    settleTokens,
    reservationNames,
    setBoost,
    resetCounters(subject, windows) {
      const kept = windowsBySubject.get(subject);
      if (kept === undefined) return;
      for (const window of windows) kept.delete(counterName(window));
      keep(subject, kept);
    },
  };
}

interface Circumstances {
  readonly boost: ActiveBoost | undefined;
  readonly reservation: Reservation | undefined;
}

function demandOf(
  counter: Counter,
  { boost, reservation, isKnown }: Circumstances & { readonly isKnown: boolean },
): Counter {
  const { unit, units, limit } = counter;
  return {
    ...counter,
    units: isKnown ? 0 : unitsOf(unit, units, reservation?.tokens),
    limit: limit === undefined || boost === undefined ? limit : boostedLimit(limit, boost.percent),
  };
}

function denied(claimed: WindowsClaim): WindowsClaim {
  return { ...claimed, admitted: false, retryAfterUs: 0 };
}

/** Of a reservation also those that it charged nothing to: they may turn out to have been used. */
function chargedCounters(
  claim: ClaimCounters,
  claimed: WindowsClaim,
  reservation: Reservation | undefined,
): readonly ChargedCounter[] {
  return claim.counters.flatMap(({ name, unit, lengthUs, units: cost, isShadow }, index) => {
    const window = claimed.windows[index];
    if (window === undefined || cost === 0 || (isShadow === true && claimed.leftOut)) return [];
    const units = unitsOf(unit, cost, reservation?.tokens);
    return [{ name, unit, lengthUs, slot: chargedSlot(window, units) }];
  });
}

function decisionOf(
  claim: ClaimCounters,
  claimed: WindowsClaim,
  { nowUs, boost, reservation }: Circumstances & { readonly nowUs: number },
): Decision {
  const answer = {
    admitted: claimed.admitted,
    leftOut: claimed.leftOut,
    readings: claimed.windows.map((window) => ({
      total: window.total,
      resetAfterUs: resetAfterUs(window, nowUs),
    })),
    retryAfterUs: claimed.retryAfterUs,
    ...(boost !== undefined && { boost }),
  };
  return decisionFrom(claim, answer, reservation?.tokens);
}

function inUs(ms: number): number {
  return Math.floor(ms * usPerMs);
}
