import { countersOf } from './counter.ts';
import type { Charge, Claim } from './limit.ts';
import { unitsOf } from './reservation.ts';
import { chargedWindow, emptyWindow, type SlottedWindow, windowAt } from './window.ts';

export interface UntoldOptions {
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Subjects at a time, at most; of more, the oldest is forgotten. Default 100 000. */
  readonly maxSubjects?: number;
}

/** What was let pass and the shared counters have not been told of. */
export interface Untold {
  readonly add: (claim: Claim) => void;
  /**
   * What of a subject still counts, as charges that fit whatever the limit; undefined for nothing. It is the
   * caller's from now on.
   */
  readonly take: (subject: string) => readonly Charge[] | undefined;
  readonly has: (subject: string) => boolean;
  readonly subjects: () => Iterable<string>;
}

/** The limit of charges that are told afterwards: they happened, so that they always fit. */
const anyNumber = 1_000_000_000_000;

interface Kept {
  readonly charge: Charge;
  readonly counted: SlottedWindow;
}

/** Windows as the shared counters would have counted them: what has run out by the time of telling is left out. */
export function createUntold({ now, maxSubjects = 100_000 }: UntoldOptions): Untold {
  const keptBySubject = new Map<string, Map<string, Kept>>();

  const nowUs = () => Math.floor(now() * 1000);

  return {
    add({ subject, charges, reservation }) {
      const atUs = nowUs();
      const { counters, counterOfCharge } = countersOf(charges);
      let kept = keptBySubject.get(subject);
      if (kept === undefined) {
        const [oldest] = keptBySubject.size >= maxSubjects ? keptBySubject.keys() : [];
        if (oldest !== undefined) keptBySubject.delete(oldest);
        kept = new Map();
        keptBySubject.set(subject, kept);
      }
      for (const [index, { name, unit, units: cost, lengthUs }] of counters.entries()) {
        const charge = charges[counterOfCharge.indexOf(index)];
        const units = unitsOf(unit, cost, reservation?.tokens);
        if (units === 0 || charge === undefined) continue;
        const before = kept.get(name)?.counted ?? emptyWindow(lengthUs, atUs);
        kept.set(name, { charge, counted: chargedWindow(windowAt(before, atUs), units, atUs) });
      }
    },
    take(subject) {
      const kept = keptBySubject.get(subject);
      if (kept === undefined) return undefined;
      keptBySubject.delete(subject);
      const atUs = nowUs();
      const charges = [...kept.values()].flatMap(({ charge, counted }): Charge[] => {
        const { total } = windowAt(counted, atUs);
        const window = { ...charge.window, limit: anyNumber, mode: 'enforce' as const };
        return total === 0 ? [] : [{ ...charge, window, cost: total }];
      });
      return charges.length === 0 ? undefined : charges;
    },
    has: (subject) => keptBySubject.has(subject),
    subjects: () => keptBySubject.keys(),
  };
}
