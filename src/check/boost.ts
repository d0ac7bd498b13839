import type { WindowLimit } from '../policy/policy.ts';

/** Greater limits for one subject, for a time. */
export interface Boost {
  /** Of each limit: 200 doubles it. A whole number from 101 to 100 000. */
  readonly percent: number;
  /** Until its end, in milliseconds from now; at least 1 000. */
  readonly durationMs: number;
}

/** A boost as a claim met it. */
export interface ActiveBoost {
  readonly percent: number;
  /** Milliseconds until its end. */
  readonly endsAfterMs: number;
}

export const boostBounds = {
  leastPercent: 101,
  mostPercent: 100_000,
  leastMs: 1_000,
  mostMs: 31 * 86_400_000,
};

/** Port: boosts a subject until the end, in place of any other boost; undefined ends it now. Throws DependencyError. */
export type SetBoost = (subject: string, boost: Boost | undefined) => void | Promise<void>;

/** Port: forgets what a subject has used of these windows. Throws DependencyError. */
export type ResetCounters = (subject: string, windows: readonly WindowLimit[]) => void | Promise<void>;

export function boostedLimit(limit: number, percent: number): number {
  return Math.floor((limit * percent) / 100);
}

/** Made once for each window and percentage: whoever keeps texts for a window keeps them for a boosted one too. */
const boostedByWindow = new WeakMap<WindowLimit, Map<number, WindowLimit>>();
/** Operators boost by round numbers. */
const maxKept = 100;

export function boostedWindow(window: WindowLimit, percent: number): WindowLimit {
  let byPercent = boostedByWindow.get(window);
  if (byPercent === undefined) {
    byPercent = new Map();
    boostedByWindow.set(window, byPercent);
  }
  let boosted = byPercent.get(percent);
  if (boosted === undefined) {
    if (byPercent.size >= maxKept) byPercent.clear();
    boosted = { ...window, limit: boostedLimit(window.limit, percent) };
    byPercent.set(percent, boosted);
  }
  return boosted;
}

/** Throws RangeError: a bug of the caller, which has read what an operator wrote. */
export function requireBoost({ percent, durationMs }: Boost): void {
  const { leastPercent, mostPercent, leastMs, mostMs } = boostBounds;
  if (!Number.isInteger(percent) || percent < leastPercent || percent > mostPercent) {
    throw new RangeError(`percent must be a whole number from ${leastPercent} to ${mostPercent}`);
  }
  if (!Number.isInteger(durationMs) || durationMs < leastMs || durationMs > mostMs) {
    throw new RangeError(`durationMs must be a whole number from ${leastMs} to ${mostMs}`);
  }
}
