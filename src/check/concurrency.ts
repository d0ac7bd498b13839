import { isDependencyError } from '../dependency-error.ts';
import { bounded } from './deadline.ts';
import type { Caller, CheckLimit, Grant } from './limit.ts';
import { type Denied, denied, isDenied } from './outcome.ts';
import type { Slot, SlotAnswer, Slots } from './slot.ts';

/** What came of a wish to have one more request open. `shadow_refused`: it would have been refused, and passed. */
export type SlotResult = 'taken' | 'refused' | 'shadow_refused' | 'uncounted' | 'unavailable';

export interface ConcurrencyOptions {
  readonly slots: Slots;
  /** What comes after: a request that it denies has no slot. */
  readonly checkLimit: CheckLimit;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly observe: (tier: string, result: SlotResult) => void;
}

/** Streams end at any time, so that there is no better guess than to ask again soon. */
const retryAfterMs = 1000;

/**
 * The limit stage for tiers that limit how many requests a subject may have open: a slot first, then the windows, so that a
 * request without a slot costs nothing. What the slot is for ends with Envoy's access log entry, or with its lease.
 */
export function createCheckConcurrency(options: ConcurrencyOptions): CheckLimit {
  const { slots, checkLimit, now, observe } = options;

  function slotOf({ slot }: SlotAnswer): Slot | undefined {
    if (slot === undefined) return undefined;
    return {
      id: slot.id,
      giveBack() {
        // The lease ends what can not be given back now.
        try {
          const released = slots.giveBack(slot);
          if (released instanceof Promise) released.catch(ignoreDependency);
        } catch (error) {
          ignoreDependency(error);
        }
      },
    };
  }

  function withSlot(caller: Caller, answer: SlotAnswer): Grant | Denied | Promise<Grant | Denied> {
    const { name, concurrency } = caller.tier;
    if (!answer.taken) {
      observe(name, 'refused');
      return denied('concurrency_exceeded', 'You have as many requests open as your tier allows.', {
        retryAfterMs,
      });
    }
    const slot = slotOf(answer);
    if (concurrency?.mode === 'shadow' && answer.open > concurrency.limit) observe(name, 'shadow_refused');
    else observe(name, slot === undefined ? 'uncounted' : 'taken');
    if (slot === undefined) return checkLimit(caller);
    try {
      const granted = checkLimit(caller);
      if (!(granted instanceof Promise)) return withGrant(granted, slot);
      return granted.then(
        (made) => withGrant(made, slot),
        (error: unknown) => {
          slot.giveBack();
          throw error;
        },
      );
    } catch (error) {
      slot.giveBack();
      throw error;
    }
  }

  function unavailable(caller: Caller, error: unknown): Denied {
    if (!isDependencyError(error)) throw error;
    observe(caller.tier.name, 'unavailable');
    return couldNotTell(error);
  }

  return (caller) => {
    const { subject, tier, id, deadlineAtMs } = caller;
    const { concurrency, onStoreUnavailable } = tier;
    if (concurrency === undefined) return checkLimit(caller);
    const limit = concurrency.mode === 'shadow' ? undefined : concurrency.limit;
    let answer: SlotAnswer | Promise<SlotAnswer>;
    try {
      answer = slots.take({ subject, id, limit, deadlineAtMs, onStoreUnavailable });
    } catch (error) {
      return unavailable(caller, error);
    }
    if (!(answer instanceof Promise)) return withSlot(caller, answer);
    let isLate = false;
    const late = () => {
      isLate = true;
      return couldNotTell('the deadline of the check ran out');
    };
    const decided = answer.then(
      (made) => withSlot(caller, made),
      (error: unknown) => unavailable(caller, error),
    );
    const heard = decided.then((granted) => {
      if (isLate && !isDenied(granted)) {
        granted.slot?.giveBack();
        granted.reservation?.giveBack();
      }
      return granted;
    });
    return bounded(heard, deadlineAtMs, now(), late);
  };
}

function withGrant(granted: Grant | Denied, slot: Slot): Grant | Denied {
  if (!isDenied(granted)) return { ...granted, slot };
  slot.giveBack();
  return granted;
}

function couldNotTell(cause: unknown): Denied {
  return denied('limit_unavailable', 'Your limits can not be checked right now.', {
    retryAfterMs: 1000,
    cause,
  });
}

function ignoreDependency(error: unknown): void {
  if (!isDependencyError(error)) throw error;
}
