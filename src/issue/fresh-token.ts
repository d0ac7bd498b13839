import { isDependencyError } from '../dependency-error.ts';
import type { Secret } from '../secret.ts';

/** An access token in the hands of its user. */
export interface HeldToken {
  readonly token: Secret;
  readonly id: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

/** The token API said no, in its own words. */
export interface MintRefusal {
  readonly refused: true;
  readonly status: number;
  readonly reason: string;
  readonly message: string;
  /** The field that it is about, if one is. */
  readonly param: string | undefined;
}

/** Port: a new token from the token API. Throws DependencyError: it could not be reached, or could not tell. */
export type MintRemotely = () => Promise<HeldToken | MintRefusal>;

/** Port: what was kept last time; undefined if nothing fit to use was. */
export type RecallToken = () => Promise<HeldToken | undefined>;

/** Port: keeps it for the next time. Never throws: a token that can't be kept is a token all the same. */
export type KeepToken = (held: HeldToken) => Promise<void>;

export interface FreshTokenOptions {
  readonly recall: RecallToken;
  readonly keep: KeepToken;
  readonly mint: MintRemotely;
  /** A sentence for whoever reads standard error. */
  readonly warn: (words: string) => void;
  readonly now: () => number;
}

const minuteMs = 60_000;

/**
 * A token that is good for a while yet: the one that is kept, until the last tenth of its life (at least one minute, at
 * most ten), else a new one. While no new one can be had, the old one to its end, with a warning. Throws
 * DependencyError when there is none at all.
 */
export function createFreshToken(options: FreshTokenOptions): () => Promise<HeldToken | MintRefusal> {
  const { recall, keep, mint, warn, now } = options;
  return async () => {
    const kept = await recall();
    const leftMs = kept === undefined ? 0 : kept.expiresAtMs - now();
    if (kept !== undefined && leftMs > marginOf(kept)) return kept;
    try {
      const minted = await mint();
      if (!('refused' in minted)) await keep(minted);
      return minted;
    } catch (error) {
      if (kept === undefined || leftMs <= 0 || !isDependencyError(error)) throw error;
      const seconds = Math.floor(leftMs / 1000);
      warn(`no new token can be had (${error.message}); the one at hand ends in ${seconds} s`);
      return kept;
    }
  };
}

function marginOf({ issuedAtMs, expiresAtMs }: HeldToken): number {
  return Math.min(10 * minuteMs, Math.max(minuteMs, (expiresAtMs - issuedAtMs) / 10));
}
