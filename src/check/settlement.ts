import type { TokenUnit, WindowUnit } from '../policy/policy.ts';
import type { KeyedId } from './keyed-id.ts';
import { mostUnits } from './reservation.ts';

/** Tokens that were used, by kind, before any weight; undefined: nobody told, and as many as were charged count. */
export type TokensUsed = Readonly<Record<TokenUnit, number | undefined>>;

/** What came of a claim that was charged. */
export interface Settlement {
  readonly subject: string;
  /** The claim's. */
  readonly id: string;
  /**
   * Units that were used after all; of a kind that is not named, as many as were charged. `nothing`: the claim is
   * taken back, and one that comes again with its id is denied.
   */
  readonly used: Readonly<Partial<Record<WindowUnit, number | undefined>>> | 'nothing';
}

/** `unknown`: never charged, too long ago, or settled already; nothing was changed. */
export type Settled = 'settled' | 'unknown';

/**
 * Port: charges or gives back the difference, once: settling again changes nothing. What is given back goes to the slot
 * that it was charged in or, where that has left the window, nowhere. Throws DependencyError: it may have been done.
 */
export type Settle = (settlement: Settlement) => Settled | Promise<Settled>;

/**
 * Port: charges or gives back the difference to every counter that a reservation is in, once, by its id alone. Throws
 * DependencyError: some of it may have been done, and asking again does the rest.
 */
export type SettleTokens = (reservation: KeyedId, used: TokensUsed) => Settled | Promise<Settled>;

/** How long it is remembered that a claim was settled. */
export const settledTtlMs = 60_000;

/** Units used of a kind, or undefined where all that was charged stays. A weight is a token's. */
export function unitsUsed(used: Settlement['used'], unit: WindowUnit, weight = 1): number | undefined {
  if (used === 'nothing') return 0;
  const units = used[unit];
  return units === undefined || unit === 'requests' ? units : Math.min(units * weight, mostUnits);
}
