import type { WindowLimit, WindowUnit } from '../policy/policy.ts';
import { type ActiveBoost, boostedWindow } from './boost.ts';
import type { Charge, Decision, WindowState } from './limit.ts';
import { type TokenCounts, unitsOf } from './reservation.ts';
import type { Demand } from './window.ts';

/** What is counted for a subject, under a limit or several. */
export interface Counter extends Demand {
  /** `<scope>:<unit>:<length in ms>`: no limit in it, so that a changed limit finds the same counter. */
  readonly name: string;
  readonly unit: WindowUnit;
  readonly windowMs: number;
  readonly lengthUs: number;
}

/** The counters that a claim's charges fall on. */
export interface ClaimCounters {
  readonly charges: readonly Charge[];
  /** Each counter once. */
  readonly counters: readonly Counter[];
  /** For each charge, the index of its counter. */
  readonly counterOfCharge: readonly number[];
  /** False when the claim only looks. */
  readonly chargesAnything: boolean;
}

/** How a counter stands after a claim. */
export interface Reading {
  readonly total: number;
  readonly resetAfterUs: number;
}

/** What the counters answered. */
export interface Answer {
  readonly admitted: boolean;
  /** When admitted: shadow windows were not charged, since one of them had no room. */
  readonly leftOut: boolean;
  /** In the order of the counters. */
  readonly readings: readonly Reading[];
  /** When denied: how long until the claim fits, or undefined if it never can. */
  readonly retryAfterUs: number | undefined;
  /** In force for the subject at the time. */
  readonly boost?: ActiveBoost;
}

const microsecondsPerMs = 1000;

/** Charges that are used again and again (those of a tier) are looked at once. */
const known = new WeakMap<readonly Charge[], ClaimCounters>();

/**
 * Charges → the counters behind them. Limits over the same scope, unit and length share one counter (say, a
 * shadow limit beside the enforced one): it is charged once, with the greatest of their costs, and the least
 * enforced limit decides; a counter of shadow limits alone never denies. Throws RangeError when a cost or a length is not a whole number: a bug of the caller.
 */
export function countersOf(charges: readonly Charge[]): ClaimCounters {
  let found = known.get(charges);
  if (found === undefined) {
    found = mergeCharges(charges);
    known.set(charges, found);
  }
  return found;
}

/** The counters' answer → what the claim is told, window by window. */
export function decisionFrom(claim: ClaimCounters, answer: Answer, tokens?: TokenCounts): Decision {
  const { admitted, readings, retryAfterUs, boost } = answer;
  return {
    admitted,
    ...(boost !== undefined && { boost }),
    windows: claim.charges.map((charge, index) => {
      const reading = readings[claim.counterOfCharge[index] ?? -1];
      const counter = claim.counters[claim.counterOfCharge[index] ?? -1];
      if (reading === undefined || counter === undefined) {
        throw new RangeError('each counter needs its reading');
      }
      const window = boost === undefined ? charge.window : boostedWindow(charge.window, boost.percent);
      const isCharged = admitted && !(answer.leftOut && counter.isShadow === true);
      const cost = unitsOf(window.unit, charge.cost, tokens);
      return windowState({ window, cost }, reading, isCharged);
    }),
    retryAfterMs: retryAfterUs === undefined ? undefined : wholeMs(retryAfterUs),
  };
}

function mergeCharges(charges: readonly Charge[]): ClaimCounters {
  const counters: Counter[] = [];
  const counterOfCharge: number[] = [];
  for (const { window, cost } of charges) {
    requireWhole('cost', cost, 0);
    requireWhole('windowMs', window.windowMs, 1);
    const name = counterName(window);
    const index = counters.findIndex((counter) => counter.name === name);
    const same = counters[index];
    const merged: Counter = {
      name,
      unit: window.unit,
      windowMs: window.windowMs,
      lengthUs: window.windowMs * microsecondsPerMs,
      units: Math.max(cost, same?.units ?? 0),
      ...limitOf(window, same),
    };
    if (same === undefined) counterOfCharge.push(counters.push(merged) - 1);
    else {
      counters[index] = merged;
      counterOfCharge.push(index);
    }
  }
  return { charges, counters, counterOfCharge, chargesAnything: counters.some(({ units }) => units > 0) };
}

/** Among enforced limits the least decides, and over any shadow's; among shadow limits the least. */
function limitOf(
  { mode, limit }: WindowLimit,
  same: Counter | undefined,
): Pick<Counter, 'limit' | 'isShadow'> {
  const isShadow = mode === 'shadow';
  if (same === undefined || (same.isShadow === true && !isShadow)) return { limit, isShadow };
  if (same.isShadow !== true && isShadow) return same;
  return { limit: Math.min(limit, same.limit ?? Infinity), isShadow };
}

/** `<scope>:<unit>:<length in ms>` */
export function counterName(window: WindowLimit): string {
  return `${window.scope}:${window.unit}:${window.windowMs}`;
}

function windowState({ window, cost }: Charge, reading: Reading, isCharged: boolean): WindowState {
  // Units that were charged are in the total already.
  const wanted = isCharged ? reading.total : reading.total + cost;
  const mayExceed = cost > 0 && (!isCharged || window.mode === 'shadow');
  return {
    window,
    remaining: Math.max(0, window.limit - reading.total),
    resetAfterMs: wholeMs(reading.resetAfterUs),
    exceeded: mayExceed && wanted > window.limit,
  };
}

/** Rounded up: whoever comes back after that time is never early. */
function wholeMs(us: number): number {
  return Math.ceil(us / microsecondsPerMs);
}

function requireWhole(name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new RangeError(`${name} must be a whole number of at least ${least}`);
  }
}
