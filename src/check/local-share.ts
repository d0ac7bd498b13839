import type { Charge, Claim, Decision } from './limit.ts';
import { createMemoryCounters, type MemoryCounters } from './memory-consume.ts';
import { type ReservationNames, unitsOf } from './reservation.ts';

export interface LocalShareOptions {
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** By how many a limit is divided: replicas × workers. */
  readonly processes: number;
  /** Those of the store, so that an id is the same whoever counted. */
  readonly reservationNames: ReservationNames;
  readonly reservationTtlMs: number;
}

export type LocalShare = Pick<MemoryCounters, 'consume' | 'settle' | 'settleTokens'>;

/**
 * Counts in this process alone, within its share of each limit: limit / processes, rounded down, and at least what one
 * request costs. So all processes together let no more pass in any window than the limit, or one request each where
 * that is more. Throws DependencyError as the counters in memory do.
 */
export function createLocalShare({ processes, ...options }: LocalShareOptions): LocalShare {
  const { consume, settle, settleTokens } = createMemoryCounters(options);
  const shareOf = new WeakMap<readonly Charge[], readonly Charge[]>();

  function shareOfCharges(charges: readonly Charge[], units: (charge: Charge) => number): readonly Charge[] {
    return charges.map((charge) => {
      const { window, cost } = charge;
      const limit = Math.max(cost, 1, units(charge), Math.floor(window.limit / processes));
      return { ...charge, window: { ...window, limit } };
    });
  }

  function shared({ charges, reservation }: Claim): readonly Charge[] {
    if (reservation !== undefined) {
      // One that the whole limit never holds does not pass by it either.
      return shareOfCharges(charges, ({ window, cost }) =>
        Math.min(window.limit, unitsOf(window.unit, cost, reservation.tokens)),
      );
    }
    let share = shareOf.get(charges);
    if (share === undefined) {
      share = shareOfCharges(charges, () => 0);
      shareOf.set(charges, share);
    }
    return share;
  }

  return {
    consume(claim) {
      const decision: Decision = consume({ ...claim, charges: shared(claim) });
      return {
        ...decision,
        // The limit that is told is the one of the policy; what remains of it here is of the share.
        windows: decision.windows.map(({ window, remaining, resetAfterMs, exceeded }, index) => ({
          window: claim.charges[index]?.window ?? window,
          remaining,
          resetAfterMs,
          exceeded,
          isLocal: true,
        })),
      };
    },
    settle,
    settleTokens,
  };
}
