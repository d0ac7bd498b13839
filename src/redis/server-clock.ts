/** The clock of a server, as far as its replies tell: what it shows when ours shows a given time. */
export interface ServerClock {
  /** A reply that carried the server's time; local times in epoch ms, the server's in microseconds. */
  readonly observe: (sentAtMs: number, serverUs: number, receivedAtMs: number) => void;
  /** Local epoch ms → microseconds of the server's clock, not above the truth; undefined before a reply. */
  readonly serverUs: (localMs: number) => number | undefined;
}

/**
 * Somewhere between our sending and receiving, the server showed its time: that bounds its lead over our clock
 * from both sides. The greatest lower bound is kept for as long as no later reply contradicts it, so the lead
 * is never overestimated by more than either clock drifted since, and a stepped clock is believed at its next
 * reply. Underestimating ends a command early, which is safe; overestimating would let it run late.
 */
export function createServerClock(): ServerClock {
  let leadUs: number | undefined;
  return {
    observe(sentAtMs, serverUs, receivedAtMs) {
      // Local times are whole milliseconds, cut off: it may have been almost one later.
      const least = serverUs - (receivedAtMs + 1) * 1000;
      const most = serverUs - sentAtMs * 1000;
      // Our own clock was stepped back in between: this reply bounds nothing.
      if (least > most) return;
      if (leadUs === undefined || leadUs < least || leadUs > most) leadUs = least;
    },
    serverUs: (localMs) => (leadUs === undefined ? undefined : Math.floor(localMs * 1000 + leadUs)),
  };
}
