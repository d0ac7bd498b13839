import type { BinaryLike, KeyObject } from 'node:crypto';
import type { TokenReserve, TokenUnit, WindowUnit } from '../policy/policy.ts';
import { createKeyedHash, randomName } from './keyed-id.ts';
import type { TokenDemand } from './token-demand.ts';

/** Tokens by kind, before any weight. */
export type TokenCounts = Readonly<Record<TokenUnit, number>>;

/** A claim whose tokens are an estimate, which whoever knows the claim's id settles. */
export interface Reservation {
  readonly tokens: TokenCounts;
  /** What a token costs, in each window of tokens of the claim. */
  readonly weight: number;
  /** The keyed hash of the claim's subject. */
  readonly tag: string;
  /** Those of other subjects with claims of the same id: told to whoever settles this one. */
  readonly others: readonly string[];
}

/** Port: what reservations are called, as KeyedId has it. */
export interface ReservationNames {
  /** Subject → 22 characters of base64url. */
  readonly tagOf: (subject: string) => string;
  /** Stream id → 22 more: the same in every process, so that a Check that is asked again has the same reservation. */
  readonly nameOf: (requestId: string) => string;
}

/** `key` is the same for all processes that share the counters. */
export function createReservationNames(key: BinaryLike | KeyObject): ReservationNames {
  const hash = createKeyedHash(key);
  return { tagOf: hash, nameOf: (id) => (id === '' ? randomName() : hash(`reservation\0${id}`)) };
}

/** Above every limit, and far from where doubles lose whole numbers. */
export const mostUnits = 2 ** 45;

/** Far above what any request uses; a bound, so that sums and products of what is told stay whole numbers. */
export const mostTokens = 1_000_000_000;

/** What a request is charged until it has ended: its prompt, and the most that may be answered. */
export function tokensToReserve(demand: TokenDemand, reserve: TokenReserve): TokenCounts {
  const inputTokens = Math.min(demand.promptTokens ?? reserve.promptTokens, mostTokens);
  const outputTokens = Math.min((demand.maxTokens ?? reserve.maxTokens) * demand.answers, mostTokens);
  return { tokens: inputTokens + outputTokens, inputTokens, outputTokens };
}

/** Units of one charge: a cost is for one request, or for one token of so many. */
export function unitsOf(unit: WindowUnit, cost: number, tokens: TokenCounts | undefined): number {
  if (tokens === undefined || unit === 'requests') return cost;
  return Math.min(cost * tokens[unit], mostUnits);
}
