import { parseKeyedId } from '../check/keyed-id.ts';
import { mostTokens } from '../check/reservation.ts';
import type { SettleTokens, TokensUsed } from '../check/settlement.ts';
import { isDependencyError } from '../dependency-error.ts';
import type { Usage } from './usage.ts';

/** The end of a request that had a reservation, whichever way it was told. */
export interface ReservationEnd {
  /** As told to Envoy in the metadata `reservation_id`. */
  readonly reservationId: string;
  /** undefined: nobody told, and what was reserved stays charged. */
  readonly usage: Usage | undefined;
  /** The request was answered with an error: unless usage was told, nothing was used, and everything goes back. */
  readonly isUnserved?: boolean;
  /** Of the answer's body, for the log: tokens can not be told from them (gzip makes them few, events many). */
  readonly responseBytes?: number;
  /** For log and metrics only, where the channel tells them. */
  readonly subject?: string | undefined;
  readonly tier?: string | undefined;
  readonly model?: string | undefined;
  /** Prompt and answer together, as Check told them to Envoy. */
  readonly reservedTokens?: number | undefined;
}

/**
 * `settled`: the difference was charged or given back. `kept`: what was reserved stays charged. `unknown`: no such
 * reservation, or it was settled already, or it ran out; nothing was changed. `given_up`: the counters could not be
 * reached for too long; what was reserved stays charged.
 */
export type SettlementResult = 'settled' | 'kept' | 'unknown' | 'given_up';

/** May be told twice, late, in any order. Throws nothing but bugs. */
export type SettleReservation = (end: ReservationEnd) => Promise<SettlementResult>;

export interface SettleReservationOptions {
  readonly settleTokens: SettleTokens;
  /** Waits; rejects to say that there is no more time. */
  readonly wait: (ms: number) => Promise<void>;
  readonly observe: ObserveSettlement;
}

/** `used` as it was settled; undefined where nothing was told. Must not throw. */
export type ObserveSettlement = (
  end: ReservationEnd,
  result: SettlementResult,
  used: TokensUsed | undefined,
) => void;

/** Together half a minute: a restart or a failover of the store. */
const pausesMs = [250, 500, 1000, 2000, 4000, 8000, 15_000];

const nothingUsed: TokensUsed = { tokens: 0, inputTokens: 0, outputTokens: 0 };

export function createSettleReservation(options: SettleReservationOptions): SettleReservation {
  const { settleTokens, wait, observe } = options;

  async function settle(reservationId: string, used: TokensUsed | undefined): Promise<SettlementResult> {
    const reservation = parseKeyedId(reservationId);
    if (reservation === undefined) return 'unknown';
    if (used === undefined) return 'kept';
    let isInDoubt = false;
    for (const pauseMs of pausesMs) {
      try {
        const settled = await settleTokens(reservation, used);
        // Of what timed out the reply may have been lost, and nothing else.
        return isInDoubt ? 'settled' : settled;
      } catch (error) {
        if (!isDependencyError(error)) throw error;
        isInDoubt ||= error.code === 'timeout' || error.code === 'unreachable';
      }
      const isOver = await wait(pauseMs).then(
        () => false,
        () => true,
      );
      if (isOver) break;
    }
    return 'given_up';
  }

  return async (end) => {
    const { reservationId, usage, isUnserved } = end;
    const used = isUnserved === true && usage === undefined ? nothingUsed : tokensUsed(usage);
    const result = await settle(reservationId, used);
    observe(end, result, used);
    return result;
  };
}

/**
 * Each kind with what can be worked out from the others; a kind of which nobody told stays as it was reserved. undefined:
 * nothing was told at all.
 */
export function tokensUsed(usage: Usage = {}): TokensUsed | undefined {
  const input = count(usage.inputTokens);
  const output = count(usage.outputTokens);
  const total = count(usage.totalTokens) ?? sum(input, output);
  const used: TokensUsed = {
    tokens: total,
    inputTokens: input ?? difference(total, output),
    outputTokens: output ?? difference(total, input),
  };
  return total === undefined && input === undefined && output === undefined ? undefined : used;
}

function count(tokens: number | undefined): number | undefined {
  return Number.isSafeInteger(tokens) && Number(tokens) >= 0
    ? Math.min(Number(tokens), mostTokens)
    : undefined;
}

function sum(input: number | undefined, output: number | undefined): number | undefined {
  return input === undefined || output === undefined ? undefined : input + output;
}

function difference(total: number | undefined, part: number | undefined): number | undefined {
  return total === undefined || part === undefined ? undefined : Math.max(0, total - part);
}
