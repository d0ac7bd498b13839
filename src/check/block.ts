import type { Claim, Decision } from './limit.ts';

/** A wish for units that are spent a little later, without asking again. */
export interface BlockClaim extends Claim {
  /** How long they are to be good for, in milliseconds, at most. */
  readonly aheadMs: number;
}

/** Units charged ahead of their use. */
export interface Block extends Decision {
  /** Counted from before the claim was sent, in milliseconds; 0 where nothing was charged. */
  readonly goodForMs: number;
}

/**
 * Port: charges as Consume does, but as of the moment until which the units may be spent, which is in the slots that are
 * current: so whenever they are spent, they count for a window from then at least. What is left goes back by Settle.
 * Throws DependencyError as Consume does.
 */
export type TakeBlock = (claim: BlockClaim) => Block | Promise<Block>;
