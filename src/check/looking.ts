import { isDependencyError } from '../dependency-error.ts';
import type { Source } from './explanation.ts';
import type { Charge, Consume, Decision } from './limit.ts';
import { unitsOf } from './reservation.ts';
import type { ReviewCache } from './review-cache.ts';
import type { Slots } from './slot.ts';

/**
 * A cache that is read and never written: what it holds answers as ever, what it does not hold is asked anew and
 * forgotten again, so that whoever looks changes no later answer. Who said so is noted.
 */
export function lookingCache<Yes extends object>(
  cache: ReviewCache<Yes>,
  note: (source: Source) => void,
): ReviewCache<Yes> {
  function recall(key: string) {
    const known = cache.look(key);
    if (known === undefined || known.isStale) return undefined;
    note({ kind: 'cache', ageMs: known.ageMs, endsInMs: known.endsInMs });
    return known.answer;
  }

  function recallStale(key: string) {
    const known = cache.look(key);
    if (known === undefined || !known.isStale) return undefined;
    note({ kind: 'staleCache', ageMs: known.ageMs, endsInMs: known.endsInMs });
    return known.answer;
  }

  return {
    ...cache,
    recall,
    recallStale,
    keep: () => undefined,
    recallKept: () => undefined,
    ask(key, review) {
      const known = recall(key);
      if (known !== undefined) return known;
      note({ kind: 'apiServer' });
      return review().catch((error: unknown) => {
        const isOutage = isDependencyError(error) && error.code !== 'misconfigured';
        const stale = isOutage ? recallStale(key) : undefined;
        if (stale === undefined) throw error;
        return stale;
      });
    },
  };
}

/**
 * Consume that only looks, and says what would have come of the claim. Exact in whether it is admitted; when it fits again
 * is told by when the window is whole again, which is the latest such time.
 */
export function createLookingConsume(consume: Consume): Consume {
  return ({ subject, charges: wanted, reservation, deadlineAtMs, onStoreUnavailable }) => {
    const charges = wanted.map(({ window, cost }) => ({
      window,
      cost: unitsOf(window.unit, cost, reservation?.tokens),
    }));
    const looks = charges.map(({ window }) => ({ window, cost: 0 }));
    const decision = consume({ subject, id: '', charges: looks, deadlineAtMs, onStoreUnavailable });
    return decision instanceof Promise
      ? decision.then((made) => foreseen(made, charges))
      : foreseen(decision, charges);
  };
}

function foreseen(decision: Decision, charges: readonly Charge[]): Decision {
  const costAt = (at: number) => charges[at]?.cost ?? 0;
  const windows = decision.windows.map((state, at) => ({
    ...state,
    exceeded: costAt(at) > 0 && state.remaining < costAt(at),
  }));
  const isBinding = ({ exceeded, window }: (typeof windows)[number]) => exceeded && window.mode === 'enforce';
  const canFit = windows.every((state, at) => !isBinding(state) || state.window.limit >= costAt(at));
  const binding = windows.filter(isBinding);
  return {
    ...decision,
    admitted: decision.admitted && binding.length === 0,
    windows,
    retryAfterMs:
      binding.length > 0 && canFit ? Math.max(...binding.map(({ resetAfterMs }) => resetAfterMs)) : undefined,
  };
}

/** Slots of which none is taken. */
export function createLookingSlots({ look }: Pick<Slots, 'look'>): Slots {
  return { take: look, look, release: () => 'unknown', giveBack: () => 'unknown' };
}
