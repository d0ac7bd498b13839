import type { Held } from './lease-account.ts';
import type { Decision } from './limit.ts';

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
  let younger = new Map<string, KnownClaim | Held>();
  let older = new Map<string, KnownClaim | Held>();
  let beganAtMs = Number.NEGATIVE_INFINITY;

  return {
    find(subject, id) {
      const found = younger.get(id) ?? older.get(id);
      // By the same id for another subject: somebody else's.
      if (found === undefined || found.subject !== subject) return undefined;
      if ('isRepeated' in found) return found;
      const claim = { subject, answer: undefined, held: found, isRepeated: false, isTakenBack: false };
      younger.set(id, claim);
      return claim;
    },
    remember(subject, id, answer) {
      const claim = { subject, answer, held: undefined, isRepeated: false, isTakenBack: false };
      younger.set(id, claim);
      return claim;
    },
    rememberSpent: (held, id) => void younger.set(id, held),
    forget(id) {
      younger.delete(id);
      older.delete(id);
    },
    tick(nowMs) {
      if (younger.size < maxClaims && nowMs - beganAtMs < ttlMs) return;
      older = younger;
      younger = new Map();
      beganAtMs = nowMs;
    },
  };
}
