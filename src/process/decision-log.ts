import type { CheckInput } from '../check/check-input.ts';
import type { WindowState } from '../check/limit.ts';
import type { Outcome } from '../check/outcome.ts';
import { isDependencyError } from '../dependency-error.ts';
import type { Log, LogFields } from './log.ts';

/** `sample`: of the requests that pass, one in so many; denials are written all the same, every one. */
export type DecisionMode = 'denials' | 'all' | { readonly sample: number };

export interface DecisionLogOptions {
  readonly mode: DecisionMode;
  readonly log: Log;
  /** In [0, 1). By chance and not every nth: traffic with a rhythm would be sampled by that rhythm. */
  readonly random: () => number;
}

/** Of the request, only what identifies it: never a path (its query is a client's own), a header or an address. */
export type DecidedRequest = Pick<CheckInput, 'id' | 'method'>;

export type LogDecision = (outcome: Outcome, request: DecidedRequest, durationMs: number) => void;

/**
 * One line an outcome, whatever the log's level. Where it samples, every line says by `sample` for how many
 * outcomes it stands, so that what reads the log can weigh it.
 */
export function createDecisionLog(options: DecisionLogOptions): LogDecision {
  const { log, mode, random } = options;
  const oneIn = typeof mode === 'object' ? mode.sample : 1;
  const isSampling = typeof mode === 'object';

  return (outcome, request, durationMs) => {
    if (!outcome.denied) {
      if (mode === 'denials') return;
      if (isSampling && random() * oneIn >= 1) return;
    }
    const fields: LogFields = {
      decision: outcome.denied ? 'denied' : 'allowed',
      ...(outcome.denied ? { reason: outcome.reason } : { route: outcome.kind }),
      subject: outcome.subject,
      tier: outcome.tier,
      model: outcome.model?.id,
      method: request.method,
      requestId: request.id,
      durationMs: Math.round(durationMs * 1000) / 1000,
      ...(outcome.windows !== undefined &&
        outcome.windows.length > 0 && { windows: outcome.windows.map(windowFields) }),
      ...(outcome.denied && outcome.retryAfterMs !== undefined && { retryAfterMs: outcome.retryAfterMs }),
      ...(isSampling && { sample: outcome.denied ? 1 : oneIn }),
    };
    if (!outcome.denied || outcome.cause === undefined) {
      log.record('decision', fields);
      return;
    }
    // A bug's cause, with its stack, is a line of its own that the door's fault handler writes.
    const isBug = outcome.reason === 'internal' && !isDependencyError(outcome.cause);
    log.record('decision', { ...fields, ...(!isBug && { cause: outcome.cause }) });
  };
}

function windowFields({ window, remaining, resetAfterMs, exceeded, isLocal }: WindowState): LogFields {
  const { scope, unit, windowMs, limit, mode } = window;
  const fields = { scope, unit, windowMs, limit, mode, remaining, resetAfterMs, exceeded };
  return isLocal === true ? { ...fields, local: true } : fields;
}
