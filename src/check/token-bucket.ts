/** So many a second, evenly; what was not used for up to a second may be used at once. */
export interface TokenBucket {
  /** Milliseconds until one may be taken; 0: now. */
  readonly waitMs: () => number;
  /** Takes one that `waitMs` has allowed. */
  readonly take: () => void;
}

export function createTokenBucket(perSecond: number, now: () => number): TokenBucket {
  let tokens = perSecond;
  let filledAtMs = now();

  function fill(): void {
    const nowMs = now();
    // A clock that steps back gives nothing and takes nothing.
    tokens = Math.min(perSecond, tokens + (Math.max(0, nowMs - filledAtMs) / 1000) * perSecond);
    filledAtMs = nowMs;
  }

  return {
    waitMs() {
      fill();
      return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) / perSecond) * 1000);
    },
    take() {
      tokens -= 1;
    },
  };
}
