import { type ActiveBoost, type Boost, requireBoost } from './boost.ts';

export interface MemoryBoosts {
  readonly boostOf: (subject: string, nowMs: number) => ActiveBoost | undefined;
  readonly setBoost: (subject: string, boost: Boost | undefined) => void;
}

interface KeptBoost {
  readonly percent: number;
  readonly endsAtMs: number;
}

/** `now` is in epoch milliseconds. */
export function createMemoryBoosts(now: () => number): MemoryBoosts {
  const boostBySubject = new Map<string, KeptBoost>();

  function boostOf(subject: string, nowMs: number): ActiveBoost | undefined {
    const boost = boostBySubject.get(subject);
    if (boost === undefined) return undefined;
    if (boost.endsAtMs > nowMs) return { percent: boost.percent, endsAfterMs: boost.endsAtMs - nowMs };
    boostBySubject.delete(subject);
    return undefined;
  }

  return {
    boostOf,
    setBoost(subject, boost) {
      if (boost === undefined) {
        boostBySubject.delete(subject);
        return;
      }
      requireBoost(boost);
      for (const other of boostBySubject.keys()) boostOf(other, now());
      boostBySubject.set(subject, { percent: boost.percent, endsAtMs: now() + boost.durationMs });
    },
  };
}
