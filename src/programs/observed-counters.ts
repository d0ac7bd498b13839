import type { KeyedId } from '../check/keyed-id.ts';
import type { Claim } from '../check/limit.ts';
import type { SettleTokens, TokensUsed } from '../check/settlement.ts';
import { isDependencyError } from '../dependency-error.ts';
import type { LimitMetrics } from '../process/limit-metrics.ts';
import type { Metrics, RedisResult } from '../process/metrics.ts';

export interface CountersObservers {
  readonly metrics: Metrics;
  readonly limitMetrics: LimitMetrics;
}

/** Faults after which a claim may have been charged; after the others Redis has said that it was not. */
const isInDoubt: Partial<Record<RedisResult, boolean>> = { timeout: true, unreachable: true };

/** The same port, with every call that is sent counted and timed, and every other one counted. */
export function observedClaims<C extends Claim, Answer>(
  command: string,
  ask: (claim: C) => Answer | Promise<Answer>,
  { metrics, limitMetrics }: CountersObservers,
): (claim: C) => Answer | Promise<Answer> {
  return (claim) => {
    const startedAtMs = performance.now();
    const observe = (result: RedisResult) =>
      metrics.observeRedis(command, result, (performance.now() - startedAtMs) / 1000);
    let sent: Answer | Promise<Answer>;
    try {
      sent = ask(claim);
    } catch (error) {
      if (isDependencyError(error)) limitMetrics.notSent(error.code);
      throw error;
    }
    if (!(sent instanceof Promise)) return sent;
    return sent.then(
      (answer) => {
        observe('ok');
        return answer;
      },
      (error: unknown) => {
        observe(isDependencyError(error) ? error.code : 'bug');
        if (isDependencyError(error) && isInDoubt[error.code] === true) limitMetrics.perhapsCharged();
        throw error;
      },
    );
  };
}

/** As observedCall, for a call of two arguments. */
export function observedSettleTokens(settleTokens: SettleTokens, metrics: Metrics): SettleTokens {
  const settle = observedCall(
    'settle_tokens',
    ({ reservation, used }: { readonly reservation: KeyedId; readonly used: TokensUsed }) =>
      settleTokens(reservation, used),
    metrics,
  );
  return (reservation, used) => settle({ reservation, used });
}

/** The same port, with every call counted and timed. */
export function observedCall<Asked, Answer>(
  command: string,
  call: (asked: Asked) => Answer | Promise<Answer>,
  { observeRedis }: Metrics,
): (asked: Asked) => Promise<Answer> {
  return async (asked) => {
    const startedAtMs = performance.now();
    let result: RedisResult = 'bug';
    try {
      const answer = await call(asked);
      result = 'ok';
      return answer;
    } catch (error) {
      if (isDependencyError(error)) result = error.code;
      throw error;
    } finally {
      observeRedis(command, result, (performance.now() - startedAtMs) / 1000);
    }
  };
}
