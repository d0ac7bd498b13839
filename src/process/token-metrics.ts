import { Counter, type Registry } from 'prom-client';
import type { Outcome } from '../check/outcome.ts';
import type { TokensUsed } from '../check/settlement.ts';
import type { ObserveSettlement, ReservationEnd, SettlementResult } from '../settle/settle-reservation.ts';

export interface TokenMetricsOptions {
  readonly registry: Registry;
  /** Whether used tokens are told by user: a series for each. */
  readonly byUser: boolean;
}

export interface TokenMetrics {
  readonly observeReserved: (outcome: Outcome) => void;
  readonly observeSettlement: ObserveSettlement;
}

const kinds = [
  { kind: 'input', unit: 'inputTokens' },
  { kind: 'output', unit: 'outputTokens' },
  { kind: 'total', unit: 'tokens' },
] as const;

const results = ['settled', 'kept', 'unknown', 'given_up'] as const satisfies readonly SettlementResult[];

/** Tokens as they were told, before any weight. */
export function createTokenMetrics({ registry, byUser }: TokenMetricsOptions): TokenMetrics {
  const registers = [registry];
  const reserved = new Counter({
    name: 'tiergate_tokens_reserved_total',
    help: 'Tokens that requests were charged in advance: prompt and the most that may be answered.',
    labelNames: ['tier', 'model'],
    registers,
  });
  const counted = new Counter({
    name: 'tiergate_tokens_used_total',
    help: 'Tokens that requests used, as told when they ended, by kind: input, output, total.',
    labelNames: ['tier', 'model', 'kind', ...(byUser ? ['user'] : [])],
    registers,
  });
  const kept = new Counter({
    name: 'tiergate_tokens_kept_total',
    help: 'Tokens that stay charged as reserved, since nobody told how many were used.',
    labelNames: ['tier', 'model'],
    registers,
  });
  const settlements = new Counter({
    name: 'tiergate_reservations_total',
    help: 'Ends of requests with reserved tokens, by what came of them; unknown: forged, told already, or run out.',
    labelNames: ['result'],
    registers,
  });
  for (const result of results) settlements.inc({ result }, 0);

  function countUsed(end: ReservationEnd, tokensUsed: TokensUsed | undefined): void {
    const labels = { ...labelsOf(end), ...(byUser && { user: end.subject ?? '' }) };
    for (const { kind, unit } of kinds) {
      const tokens = tokensUsed?.[unit];
      if (tokens !== undefined) counted.inc({ ...labels, kind }, tokens);
    }
  }

  return {
    observeReserved(outcome) {
      if (outcome.denied || outcome.reservation === undefined) return;
      const { tier, model, reservation } = outcome;
      reserved.inc(labelsOf({ tier, model: model?.id }), reservation.tokens);
    },
    observeSettlement(end, result, used) {
      settlements.inc({ result });
      if (result === 'settled') countUsed(end, used);
      else if (result !== 'unknown') kept.inc(labelsOf(end), end.reservedTokens ?? 0);
    },
  };
}

/** Empty where the way by which the end was told does not say. */
function labelsOf({ tier = '', model = '' }: Pick<ReservationEnd, 'tier' | 'model'>) {
  return { tier, model };
}
