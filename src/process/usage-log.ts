import type { ObserveSettlement } from '../settle/settle-reservation.ts';
import type { Log } from './log.ts';

/**
 * One line `usage` for each reservation that ended, whatever the log's level: who used how many tokens of which model, for
 * chargeback. `totalTokens` are those that stay charged: told by the model (`settled`), or as reserved (`kept`,
 * `given_up`); `responseBytes` are of the answer's body, for whoever prices what nobody told. Of a settlement that comes again there is no line; a `kept` may come again, and may be settled later:
 * whoever sums up takes the last line of each `reservation`.
 */
export function createUsageLog(log: Log): ObserveSettlement {
  return (end, result, used) => {
    if (result === 'unknown') return;
    const { reservationId, subject, tier, model, reservedTokens, responseBytes } = end;
    const told = result === 'settled' ? used : undefined;
    log.record('usage', {
      settlement: result,
      subject,
      tier,
      model,
      reservation: reservationId,
      reservedTokens,
      inputTokens: told?.inputTokens,
      outputTokens: told?.outputTokens,
      totalTokens: told?.tokens ?? reservedTokens,
      responseBytes,
    });
  };
}
