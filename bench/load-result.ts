import { percentile } from './statistics.ts';

/** What one run of a load found; times in milliseconds. */
export interface LoadResult {
  readonly requests: number;
  /** With those of the warm-up. */
  readonly asked: number;
  /** Answers that denied, of a request that was to pass or not. */
  readonly denied: number;
  /** Requests that got no answer. */
  readonly failed: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
}

export function loadResult(
  latenciesMs: readonly number[],
  counts: Pick<LoadResult, 'asked' | 'denied' | 'failed' | 'seconds'>,
): LoadResult {
  return {
    requests: latenciesMs.length,
    ...counts,
    p50: percentile(latenciesMs, 0.5),
    p90: percentile(latenciesMs, 0.9),
    p99: percentile(latenciesMs, 0.99),
    p999: percentile(latenciesMs, 0.999),
  };
}

/** Said between warm-up and measurement, so that whoever started the load can read the clocks. */
export const beginWord = 'begin';
