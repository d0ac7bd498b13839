import type { Charge, WindowState } from './limit.ts';
import { slotsPerWindow } from './window.ts';

/** What is known of charges that are claimed again and again (those of a tier). */
export interface LeaseShape {
  /** A denial of them may be remembered for a moment: nothing but time and a settlement of requests changes it. */
  readonly isRequestsOnly: boolean;
  /** They may be charged ahead, in blocks. */
  readonly isLeasable: boolean;
  /** Units of one request, the same in every window; meaningful only where they are leasable. */
  readonly cost: number;
  /** The charges of so many requests at once; the same array each time. */
  readonly ofMany: (requests: number) => readonly Charge[];
}

/** The share of what remains that one process may hold: a 32nd. */
export const leaseDivisor = 32;

/**
 * Charges → whether they are worth a lease. Not where tokens are counted, which are settled one by one; not where
 * shadow windows are, which must tell of each request; not for limits of which a 32nd is less than two requests; and not
 * for windows whose slots are shorter than `leastSlotMs`, since a lease ends with its slot.
 */
export function createShapeOf(leastSlotMs: number): (charges: readonly Charge[]) => LeaseShape {
  const shapes = new WeakMap<readonly Charge[], LeaseShape>();

  function make(charges: readonly Charge[]): LeaseShape {
    const many = new Map<number, readonly Charge[]>();
    const cost = charges[0]?.cost ?? 0;
    const isRequestsOnly =
      charges.length > 0 && charges.every((charge) => charge.window.unit === 'requests' && charge.cost > 0);
    return {
      isRequestsOnly,
      isLeasable:
        isRequestsOnly &&
        charges.every(
          (charge) =>
            charge.cost === cost &&
            charge.window.mode === 'enforce' &&
            charge.window.limit >= 2 * leaseDivisor * cost &&
            charge.window.windowMs / slotsPerWindow >= leastSlotMs,
        ),
      cost,
      ofMany(requests) {
        let found = many.get(requests);
        if (found === undefined) {
          found = charges.map(({ window, cost: one }) => ({ window, cost: one * requests }));
          many.set(requests, found);
        }
        return found;
      },
    };
  }

  return (charges) => {
    let shape = shapes.get(charges);
    if (shape === undefined) {
      shape = make(charges);
      shapes.set(charges, shape);
    }
    return shape;
  };
}

/** For how many more requests there is room in every window. */
export function requestsLeft(windows: readonly WindowState[], cost: number): number {
  let left = Number.POSITIVE_INFINITY;
  for (const { remaining } of windows) left = Math.min(left, Math.floor(remaining / cost));
  return left;
}

/** Sizes of blocks are few, so that their charges are made once: any up to 64, then powers of two. 0 below 1. */
export function blockOf(atMost: number): number {
  if (atMost < 1) return 0;
  return atMost <= 64 ? Math.floor(atMost) : 2 ** Math.floor(Math.log2(atMost));
}
