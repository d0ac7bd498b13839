import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';

import { type Denied, denied } from '../check/outcome.ts';

export interface ThrottleOptions {
  /** Requests of one key in any one second, about. */
  readonly perSecond: number;
  readonly what: string;
}

/** Counts one request of a key, in this process; Denied (`throttled`) when it asks too often. */
export type Throttle = (key: string) => Promise<Denied | undefined>;

export function createThrottle(options: ThrottleOptions): Throttle {
  const limiter = new RateLimiterMemory({ points: options.perSecond, duration: 1 });
  return async (key) => {
    try {
      await limiter.consume(key);
      return undefined;
    } catch (rejection) {
      // The library rejects with a value, not an error, when the key is over its limit.
      if (!(rejection instanceof RateLimiterRes)) throw rejection;
      const detail = `Too many requests of ${options.what}; slow down.`;
      return denied('throttled', detail, { retryAfterMs: rejection.msBeforeNext });
    }
  };
}
