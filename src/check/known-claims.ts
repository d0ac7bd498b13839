import type { Decision } from './limit.ts';

/** What came of a claim that this process has seen. */
export interface KnownClaim {
  answer: Decision | Promise<Decision>;
  /** Of a leased claim: gives its request back to the block, if that is still there. */
  readonly giveBack: (() => void) | undefined;
  /** It came again: two rely on it, and neither can take it back. */
  isRepeated: boolean;
  isTakenBack: boolean;
  readonly endsAtMs: number;
}

export interface KnownClaimsOptions {
  /** Milliseconds from any start; a clock that is never set. */
  readonly elapsed: () => number;
  /** How long a claim is known, in milliseconds; at least twice the caller's time-out. */
  readonly ttlMs: number;
  /** Claims at a time, at most; of more, the oldest is forgotten, and its retry charged again. */
  readonly maxClaims: number;
}

export interface KnownClaims {
  readonly find: (subject: string, id: string) => KnownClaim | undefined;
  readonly remember: (
    claim: { readonly subject: string; readonly id: string },
    answer: KnownClaim['answer'],
    giveBack?: () => void,
  ) => KnownClaim;
  readonly forget: (subject: string, id: string) => void;
}

/** Claims by subject and id: the retry of one is answered here, also where no store knows it. Bounded, oldest first. */
export function createKnownClaims({ elapsed, ttlMs, maxClaims }: KnownClaimsOptions): KnownClaims {
  const claims = new Map<string, KnownClaim>();

  function makeRoom(nowMs: number): void {
    for (const [key, { endsAtMs }] of claims) {
      if (endsAtMs > nowMs && claims.size < maxClaims) return;
      claims.delete(key);
    }
  }

  return {
    find(subject, id) {
      const known = claims.get(keyOf(subject, id));
      return known === undefined || known.endsAtMs <= elapsed() ? undefined : known;
    },
    remember({ subject, id }, answer, giveBack) {
      const nowMs = elapsed();
      makeRoom(nowMs);
      const key = keyOf(subject, id);
      const known = { answer, giveBack, isRepeated: false, isTakenBack: false, endsAtMs: nowMs + ttlMs };
      claims.delete(key);
      claims.set(key, known);
      return known;
    },
    forget: (subject, id) => void claims.delete(keyOf(subject, id)),
  };
}

/** Prefixed by the subject's length: no subject and id can be taken for another subject and id. */
function keyOf(subject: string, id: string): string {
  return `${subject.length}:${subject}${id}`;
}
