import type { Charge, Claim, Decision } from './limit.ts';
import { createMemoryConsume } from './memory-consume.ts';

export interface LocalShareOptions {
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** By how many a limit is divided: replicas × workers. */
  readonly processes: number;
}

/**
 * Counts in this process alone, within its share of each limit: limit / processes, rounded down, and at least what one
 * request costs. So all processes together let no more pass in any window than the limit, or one request each where
 * that is more. Throws DependencyError as the counters in memory do.
 */
export function createLocalShare({ now, processes }: LocalShareOptions): (claim: Claim) => Decision {
  const consume = createMemoryConsume({ now });
  const shareOf = new WeakMap<readonly Charge[], readonly Charge[]>();

  function shared(charges: readonly Charge[]): readonly Charge[] {
    let share = shareOf.get(charges);
    if (share === undefined) {
      share = charges.map((charge) => {
        const { window, cost } = charge;
        const limit = Math.max(cost, 1, Math.floor(window.limit / processes));
        return { ...charge, window: { ...window, limit } };
      });
      shareOf.set(charges, share);
    }
    return share;
  }

  return (claim) => {
    const decision = consume({ ...claim, charges: shared(claim.charges) });
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
  };
}
