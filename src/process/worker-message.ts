import type { ReadinessReport } from './readiness.ts';

/** What the primary and a worker tell each other over node:cluster's channel (JSON). */

/** A registry's metrics, as prom-client writes them for another process to sum up. */
export type MetricsOfProcess = readonly object[];

export type FromWorker =
  | { readonly tiergate: 'beat' }
  | { readonly tiergate: 'state'; readonly isReady: boolean; readonly report: ReadinessReport }
  /** The answer to a question of that number. */
  | { readonly tiergate: 'metrics'; readonly question: number; readonly metrics: MetricsOfProcess }
  /** For a part of the primary's: the watches. */
  | { readonly tiergate: 'relay'; readonly body: unknown };

export type FromPrimary =
  | { readonly tiergate: 'beat' }
  | { readonly tiergate: 'stop' }
  | { readonly tiergate: 'metrics'; readonly question: number }
  | { readonly tiergate: 'relay'; readonly body: unknown };

export function isOurs(message: unknown): message is { readonly tiergate: string } {
  return typeof message === 'object' && message !== null && 'tiergate' in message;
}

/** How often each tells the other that its event loop turns. */
export const beatEveryMs = 1_000;
