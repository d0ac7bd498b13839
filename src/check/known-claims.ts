import type { Held } from './lease-account.ts';
import type { Decision } from './limit.ts';
import { createSpentIds } from './spent-ids.ts';

/** What came of a claim that this process has seen. */
export interface KnownClaim {
  readonly subject: string;
  /** Undefined: it was let pass from `held`. */
  answer: Decision | Promise<Decision> | undefined;
  readonly held: Held | undefined;
  /** It came again: two rely on it, and neither can take it back. */
  isRepeated: boolean;
  isTakenBack: boolean;
}

export interface KnownClaimsOptions {
  /** How long a claim is known at least, in milliseconds, and twice that at most; at least twice the caller's time-out. */
  readonly ttlMs: number;
  /** So many claims are known at least, and twice as many at most; of older ones a retry is charged again. */
  readonly maxClaims: number;
}

export interface KnownClaims {
  readonly find: (subject: string, id: string) => KnownClaim | undefined;
  /** One that the store is asked for. */
  readonly remember: (subject: string, id: string, answer: KnownClaim['answer']) => KnownClaim;
  /** One that passed from a block: the hot path, on which nothing is made for it. */
  readonly rememberSpent: (held: Held, id: string) => void;
  readonly forget: (id: string) => void;
  /** Time goes on: makes room. By the clock that is never set. */
  readonly tick: (nowMs: number) => void;
}

/**
 * Claims by their id, which is Envoy's and no client's: the retry of one is answered here, also where no store knows it. Two
 * generations, of which the older is dropped as a whole: a Map whose oldest entries are taken out one by one has to step
 * over all the places that they have left.
 */
export function createKnownClaims({ ttlMs, maxClaims }: KnownClaimsOptions): KnownClaims {
  const createGeneration = () => ({
    claims: new Map<string, KnownClaim>(),
    spent: createSpentIds<Held>(maxClaims),
  });
  let [younger, older] = [createGeneration(), createGeneration()];
  let beganAtMs = Number.NEGATIVE_INFINITY;

  function forget(id: string): void {
    younger.claims.delete(id);
    older.claims.delete(id);
  }

  return {
    find(subject, id) {
      const claim = younger.claims.get(id) ?? older.claims.get(id);
      // By the same id for another subject: somebody else's.
      if (claim !== undefined) return claim.subject === subject ? claim : undefined;
      const held = younger.spent.find(id) ?? older.spent.find(id);
      if (held === undefined || held.subject !== subject) return undefined;
      const found = { subject, answer: undefined, held, isRepeated: false, isTakenBack: false };
      younger.claims.set(id, found);
      return found;
    },
    remember(subject, id, answer) {
      const claim = { subject, answer, held: undefined, isRepeated: false, isTakenBack: false };
      younger.claims.set(id, claim);
      return claim;
    },
    rememberSpent(held, id) {
      forget(id);
      younger.spent.add(id, held);
    },
    forget,
    tick(nowMs) {
      if (younger.claims.size + younger.spent.size() < maxClaims && nowMs - beganAtMs < ttlMs) return;
      older.claims.clear();
      older.spent.clear();
      [younger, older] = [older, younger];
      beganAtMs = nowMs;
    },
  };
}
