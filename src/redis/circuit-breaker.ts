export interface CircuitBreakerOptions {
  /** How long a reply may be due before nothing more is sent, in milliseconds. */
  readonly patienceMs: number;
  /** Milliseconds from any start; a clock that is never set. */
  readonly elapsed: () => number;
}

/** A timer may be early by less than this; a moment later the caller's own time-out would have let more be sent. */
const timerSlackMs = 1;

/** Tells that a reply is there, or will never be. Safe to call twice. */
export type Leave = () => void;

export interface CircuitBreaker {
  /** undefined: nothing may be sent now. */
  readonly enter: () => Leave | undefined;
}

/**
 * Keeps calls from a server that owes replies, so that a hung one costs time-outs only to the calls that were
 * already under way. There is no schedule of probes: what is overdue is the probe. Once everything that was
 * sent is answered, or lost with its connection, one call at a time is let through, until one is answered in
 * time. So a server that goes on is used again with the first call after its replies, and one that is slow
 * costs one call at a time its time-out.
 */
export function createCircuitBreaker({ patienceMs, elapsed }: CircuitBreakerOptions): CircuitBreaker {
  /** In the order of sending. */
  const pending = new Set<{ readonly sentAtMs: number }>();
  let state: 'closed' | 'open' | 'half-open' = 'closed';
  let timer: NodeJS.Timeout | undefined;

  function watchOldest(): void {
    const [oldest] = pending;
    if (oldest === undefined || timer !== undefined) return;
    // A reply that waits in the socket while this process was busy elsewhere is read first.
    timer = setTimeout(() => setImmediate(judge), Math.max(0, oldest.sentAtMs + patienceMs - elapsed()));
    timer.unref();
  }

  function judge(): void {
    timer = undefined;
    const [oldest] = pending;
    if (oldest !== undefined && elapsed() - oldest.sentAtMs >= patienceMs - timerSlackMs) state = 'open';
    else watchOldest();
  }

  return {
    enter() {
      if (state === 'open' || (state === 'half-open' && pending.size > 0)) return undefined;
      const call = { sentAtMs: elapsed() };
      pending.add(call);
      watchOldest();
      return () => {
        if (!pending.delete(call)) return;
        if (state === 'half-open') state = 'closed';
        else if (state === 'open' && pending.size === 0) state = 'half-open';
      };
    },
  };
}
