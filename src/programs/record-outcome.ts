import type { Outcome } from '../check/outcome.ts';
import type { Door } from '../process/check-metrics.ts';
import { createDecisionLog, type DecidedRequest } from '../process/decision-log.ts';
import type { Metrics } from '../process/metrics.ts';
import type { TokenMetrics } from '../process/token-metrics.ts';
import type { ServerContext } from './run-server.ts';
import type { RunningConsole } from './start-console.ts';

/** What is done with every outcome that leaves by a door; a request that could not be read is undefined. */
export type RecordOutcome = (
  outcome: Outcome,
  request: DecidedRequest | undefined,
  durationMs: number,
) => void;

export interface RecordOutcomeOptions {
  readonly context: ServerContext;
  readonly metrics: Metrics;
  readonly tokenMetrics: TokenMetrics;
  readonly console: Pick<RunningConsole, 'record'>;
}

const unreadRequest: DecidedRequest = { id: '', method: '' };

/** Metrics, the decision log and the console hear of the same outcomes, whatever the door. */
export function createRecordOutcome(options: RecordOutcomeOptions): (door: Door) => RecordOutcome {
  const { metrics, tokenMetrics, console } = options;
  const { config, log } = options.context;
  const logDecision = createDecisionLog({ mode: config.log.decisions, log, random: Math.random });
  return (door) =>
    (outcome, request = unreadRequest, durationMs) => {
      metrics.observeOutcome(door, outcome, durationMs / 1000);
      tokenMetrics.observeReserved(outcome);
      logDecision(outcome, request, durationMs);
      console.record(outcome, request);
    };
}
