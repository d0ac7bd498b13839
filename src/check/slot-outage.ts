import { isDependencyError } from '../dependency-error.ts';
import type { OnStoreUnavailable } from '../policy/policy.ts';
import { createMemorySlots } from './memory-slots.ts';
import type { SlotAnswer, SlotClaim, Slots } from './slot.ts';

export interface SlotOutageOptions {
  readonly store: Slots;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly leaseMs: number;
  /** By how many a limit is divided while each process counts alone: replicas × workers. */
  readonly processes: number;
  /** For claims that do not say. */
  readonly onStoreUnavailable: OnStoreUnavailable;
}

/** Kept back from the store, so that its time-out leaves time for the policy that takes its place. */
const policyMarginMs = 5;

const uncounted: SlotAnswer = { taken: true, slot: undefined, open: 0 };

/**
 * Slots of a store with what holds while it can not be asked: `deny` throws on, `allow` lets pass uncounted, `local` counts
 * in this process alone, within its share of the limit: limit / processes, at least 1. What is open by that when the store
 * is back leaves that much less of the limit there, in this process; the others can not know of it, so that for the rest
 * of those requests up to twice the limit may be open.
 */
export function createSlotOutage(options: SlotOutageOptions): Slots {
  const { store, now, leaseMs, processes } = options;
  const local = createMemorySlots({ now, leaseMs });

  function without(
    how: 'take' | 'look',
    { onStoreUnavailable, ...claim }: SlotClaim,
    error: unknown,
  ): SlotAnswer {
    if (!isDependencyError(error)) throw error;
    switch (onStoreUnavailable ?? options.onStoreUnavailable) {
      case 'local':
        return local[how]({
          ...claim,
          limit: claim.limit === undefined ? undefined : Math.max(1, Math.floor(claim.limit / processes)),
        });
      case 'allow':
        return uncounted;
      case 'deny':
        throw error;
      default:
        throw new TypeError('no such answer to an outage');
    }
  }

  function ask(how: 'take' | 'look', claim: SlotClaim): SlotAnswer | Promise<SlotAnswer> {
    const { subject, id, limit, deadlineAtMs } = claim;
    const openHere = local.openOf(subject);
    const left = limit === undefined ? undefined : Math.max(0, limit - openHere);
    try {
      const answer = store[how]({ subject, id, limit: left, deadlineAtMs: deadlineAtMs - policyMarginMs });
      return answer instanceof Promise
        ? answer.catch((error: unknown) => without(how, claim, error))
        : answer;
    } catch (error) {
      return without(how, claim, error);
    }
  }

  return {
    take: (claim) => ask('take', claim),
    look: (claim) => ask('look', claim),
    release: (id) => (local.release(id) === 'released' ? 'released' : store.release(id)),
    giveBack: (slot) => (local.giveBack(slot) === 'released' ? 'released' : store.giveBack(slot)),
  };
}
