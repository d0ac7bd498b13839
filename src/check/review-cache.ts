import { LRUCache } from 'lru-cache';
import { isDependencyError } from '../dependency-error.ts';
import { type Denied, isDenied } from './outcome.ts';
import { isOverBudget } from './review-budget.ts';

export type CacheEvent = 'hit' | 'denied_hit' | 'miss' | 'coalesced' | 'stale' | 'evicted';

export interface ReviewCacheOptions<Yes extends object> {
  /** Entries that said yes, at most. */
  readonly maxEntries: number;
  /** Entries that said no, in a store of their own so that a flood of them pushes no yes out. */
  readonly maxDenials: number;
  /** How long a yes holds, in milliseconds from now; at most 0 means that it is not remembered. */
  readonly ttlMs: (yes: Yes, nowMs: number) => number;
  /** How long a no holds, in milliseconds. */
  readonly denialTtlMs: number;
  /** How long past its end a yes may still be served while nobody can tell, in milliseconds. */
  readonly staleMs: (yes: Yes, endedAtMs: number) => number;
  /**
   * How old a yes may be at the moment, in milliseconds, whatever lifetime it was given: shorter while nobody
   * would hear of its end. Default: no bound.
   */
  readonly maxAgeMs?: (yes: Yes) => number;
  /** In [0, 1); shortens each yes by up to a tenth, so that what was asked together is not asked again together. */
  readonly random: () => number;
  readonly now: () => number;
  readonly observe: (event: CacheEvent) => void;
}

export interface ReviewCache<Yes extends object> {
  /** What is known and still holds, without asking anybody. */
  readonly recall: (key: string) => Yes | Denied | undefined;
  /** The yes itself, for whoever asks for it again and again: `recallKept` needs no look-up. Undefined: none is remembered. */
  readonly keep: (key: string) => Kept<Yes> | undefined;
  /**
   * As `recall`. Undefined also where room is getting short: then a look-up has to say that this one is in use, so that
   * others are pushed out before it.
   */
  readonly recallKept: (kept: Kept<Yes>) => Yes | undefined;
  /**
   * What is known, else what `review` says: asked once for a key however many wait, remembered unless it
   * throws. While the dependency can't tell, a yes that ran out is served for its stale time. Rejects with
   * what `review` threw when nothing stale may be served.
   */
  readonly ask: (key: string, review: () => Promise<Yes | Denied>) => Yes | Denied | Promise<Yes | Denied>;
  /** A yes that ran out but may be served while nobody can tell; for a caller that can't wait any longer. */
  readonly recallStale: (key: string) => Yes | undefined;
  /**
   * What is remembered of it, for whoever explains: as `recall` and `recallStale`, but seen by nobody and no reason to
   * remember it longer.
   */
  readonly look: (key: string) => Remembered<Yes> | undefined;
  /** Forgets yes and no of every such key; nothing of it is served stale. */
  readonly forget: (matches: (key: string) => boolean) => void;
  readonly size: () => number;
}

export type Remembered<Yes extends object> =
  | {
      readonly isStale: false;
      readonly answer: Yes | Denied;
      readonly ageMs: number;
      readonly endsInMs: number;
    }
  | { readonly isStale: true; readonly answer: Yes; readonly ageMs: number; readonly endsInMs: number };

interface Entry<Answer> {
  readonly answer: Answer;
  readonly sinceMs: number;
  readonly endsAtMs: number;
  readonly staleUntilMs: number;
}

/** A yes that is remembered, or was: it is told when it goes. */
export interface Kept<Yes> extends Entry<Yes> {
  isGone: boolean;
}

/** So full a cache begins to heed who was used last. */
const roomyShare = 0.9;

/** A clock that was set back ends what it would otherwise prolong. */
function holds({ sinceMs, endsAtMs }: Entry<unknown>, nowMs: number): boolean {
  return sinceMs <= nowMs && nowMs < endsAtMs;
}

/** A question under way, for all who wait for its answer. */
interface Flight<Yes extends object> {
  answer?: Promise<Yes | Denied>;
}

/**
 * Remembers verdicts, never faults; asks once. The LRU is only the store: lru-cache's own `fetch` ties every
 * waiter to the first caller's signal, and its stale options would let an outage pass as a verdict.
 */
export function createReviewCache<Yes extends object>(options: ReviewCacheOptions<Yes>): ReviewCache<Yes> {
  const { observe, maxAgeMs = () => Number.POSITIVE_INFINITY } = options;
  // Whole milliseconds from the start fit into the place of a pointer, where epoch ones take an object each.
  const originMs = Math.floor(options.now());
  const now = () => Math.floor(options.now() - originMs);
  const yeses = new LRUCache<string, Kept<Yes>>({
    max: options.maxEntries,
    // However it goes: pushed out, forgotten, or another in its place.
    dispose: (entry, _key, reason) => {
      entry.isGone = true;
      if (reason === 'evict') observe('evicted');
    },
  });
  const denials = new LRUCache<string, Entry<Denied>>({ max: options.maxDenials });
  const roomyEntries = options.maxEntries * roomyShare;
  let pending = new Map<string, Flight<Yes>>();
  /** True from a fault to the next answer: then nobody waits for an answer that they may do without. */
  let faulting = false;
  /** Questions so far, and the newest of them that said whether the dependency can tell. */
  let asked = 0;
  let toldBy = 0;

  function isFresh(yes: Kept<Yes>, nowMs: number): boolean {
    return holds(yes, nowMs) && nowMs - yes.sinceMs < maxAgeMs(yes.answer);
  }

  /** Who was used last matters only to whom is pushed out first: until then, nobody is moved. */
  function isRoomy(): boolean {
    return yeses.size < roomyEntries;
  }

  function recall(key: string): Yes | Denied | undefined {
    const nowMs = now();
    const yes = isRoomy() ? yeses.peek(key) : yeses.get(key);
    if (yes !== undefined && isFresh(yes, nowMs)) {
      observe('hit');
      return yes.answer;
    }
    const denial = denials.get(key);
    if (denial !== undefined && holds(denial, nowMs)) {
      observe('denied_hit');
      return denial.answer;
    }
    return undefined;
  }

  function recallStale(key: string): Yes | undefined {
    const entry = yeses.get(key);
    const nowMs = now();
    if (entry === undefined || nowMs < entry.sinceMs || nowMs >= entry.staleUntilMs) return undefined;
    observe('stale');
    return entry.answer;
  }

  function look(key: string): Remembered<Yes> | undefined {
    const nowMs = now();
    const yes = yeses.peek(key);
    const ageMs = (entry: Entry<unknown>) => nowMs - entry.sinceMs;
    if (yes !== undefined && isFresh(yes, nowMs)) {
      const endsInMs = Math.min(yes.endsAtMs - nowMs, maxAgeMs(yes.answer) - ageMs(yes));
      return { isStale: false, answer: yes.answer, ageMs: ageMs(yes), endsInMs };
    }
    const denial = denials.peek(key);
    if (denial !== undefined && holds(denial, nowMs)) {
      return {
        isStale: false,
        answer: denial.answer,
        ageMs: ageMs(denial),
        endsInMs: denial.endsAtMs - nowMs,
      };
    }
    if (yes === undefined || nowMs < yes.sinceMs || nowMs >= yes.staleUntilMs) return undefined;
    return { isStale: true, answer: yes.answer, ageMs: ageMs(yes), endsInMs: yes.staleUntilMs - nowMs };
  }

  function remember(key: string, answer: Yes | Denied): void {
    const nowMs = now();
    if (isDenied(answer)) {
      yeses.delete(key);
      const endsAtMs = nowMs + options.denialTtlMs;
      denials.set(key, { answer, sinceMs: nowMs, endsAtMs, staleUntilMs: 0 });
      return;
    }
    const ttlMs = Math.floor(options.ttlMs(answer, originMs + nowMs) * (1 - options.random() / 10));
    if (ttlMs <= 0) return;
    const endsAtMs = nowMs + ttlMs;
    denials.delete(key);
    const staleUntilMs = Math.floor(endsAtMs + options.staleMs(answer, originMs + endsAtMs));
    yeses.set(key, { answer, sinceMs: nowMs, endsAtMs, staleUntilMs, isGone: false });
  }

  /** A question that was given up late says nothing of how things are by now. */
  function tell(question: number, isFaulting: boolean): void {
    if (question < toldBy) return;
    toldBy = question;
    faulting = isFaulting;
  }

  async function fly(key: string, review: () => Promise<Yes | Denied>): Promise<Yes | Denied> {
    asked += 1;
    const question = asked;
    const flight: Flight<Yes> = {};
    pending.set(key, flight);
    try {
      const answer = await review();
      // A denial may have been found without asking the dependency (a forged signature): it says nothing of it.
      if (!isDenied(answer)) tell(question, false);
      // Not what was asked before it was told to be forgotten.
      if (pending.get(key) === flight) remember(key, answer);
      return answer;
    } catch (error) {
      // Refused *us* (misconfigured), or a bug: nothing stale may hide that.
      const isOutage = isDependencyError(error) && error.code !== 'misconfigured';
      // A budget is spent by a source; it says nothing of how others fare.
      if (!isOverBudget(error)) tell(question, isOutage);
      if (!isOutage) yeses.delete(key);
      const stale = recallStale(key);
      if (stale !== undefined) return stale;
      throw error;
    } finally {
      // Another may have taken its place, after this one was told to be forgotten.
      if (pending.get(key) === flight) land(key);
    }
  }

  function land(key: string): void {
    if (pending.size > 1) pending.delete(key);
    // A Map that is emptied moves into a new table, to which the old one points (V8): what is garbage by then, once it has got
    // old, would keep all that follows it, answers and all, until the next full collection.
    else pending = new Map();
  }

  return {
    recall,
    keep: (key) => yeses.peek(key),
    recallKept(kept) {
      if (kept.isGone || !isRoomy() || !isFresh(kept, now())) return undefined;
      observe('hit');
      return kept.answer;
    },
    recallStale,
    look,
    ask(key, review) {
      const known = recall(key);
      if (known !== undefined) return known;
      let flight = pending.get(key)?.answer;
      if (flight === undefined) {
        observe('miss');
        flight = fly(key, review);
        const own = pending.get(key);
        if (own !== undefined) own.answer = flight;
      } else {
        observe('coalesced');
      }
      if (!faulting) return flight;
      const stale = recallStale(key);
      if (stale === undefined) return flight;
      // Whoever takes the stale yes leaves the flight: its failure is already known as `faulting`.
      flight.catch(() => undefined);
      return stale;
    },
    forget(matches) {
      // Who asks from now on must not be told what was asked before.
      for (const key of pending.keys()) if (matches(key)) pending.delete(key);
      for (const entries of [yeses, denials]) {
        for (const key of entries.keys()) if (matches(key)) entries.delete(key);
      }
    },
    size: () => yeses.size,
  };
}
