/** What may last so long, in ticks. */
export interface ConnectionTimes {
  /** The head of a request, from its first byte, or from the beginning of the connection. */
  readonly head: number;
  /** A whole request, from its first byte. */
  readonly body: number;
  /** The time between a request and the next. */
  readonly idle: number;
  /** For the peer to read anything of what was written. */
  readonly unread: number;
  /** For the peer to close the connection too. */
  readonly ended: number;
}

/** How long a connection has been doing what it does, by a clock that ticks for many: no timer for each. */
export interface Watch {
  /** A request begins, or goes on after we read nothing for a while. */
  readonly begin: () => void;
  /** Something else came, or went. */
  readonly touch: () => void;
  readonly isTooLong: (state: 'head' | 'body' | 'idle' | 'ended') => boolean;
  /** By how much was ever written, and how much of that still waits; to be asked at each tick. */
  readonly isUnreadTooLong: (written: number, waiting: number) => boolean;
}

export function createWatch(times: ConnectionTimes, tick: () => number): Watch {
  let begunAt = tick();
  let touchedAt = tick();
  let writtenAt = tick();
  let writtenBefore = 0;
  return {
    begin() {
      begunAt = tick();
    },
    touch() {
      touchedAt = tick();
    },
    isTooLong(state) {
      const since = state === 'head' || state === 'body' ? begunAt : touchedAt;
      return tick() - since > times[state];
    },
    isUnreadTooLong(written, waiting) {
      if (waiting === 0 || written !== writtenBefore) writtenAt = tick();
      writtenBefore = written;
      return tick() - writtenAt > times.unread;
    },
  };
}
