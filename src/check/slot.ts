import type { OnStoreUnavailable } from '../policy/policy.ts';

/** A wish to have one more request open. */
export interface SlotClaim {
  readonly subject: string;
  /** Envoy's stream id: one that comes again has the same slot. Empty: a slot of its own. */
  readonly id: string;
  /** Slots of the subject at once; undefined counts, and never refuses. */
  readonly limit: number | undefined;
  /** Epoch milliseconds; a claim that arrives later takes nothing. */
  readonly deadlineAtMs: number;
  /** What holds while nobody can tell. Absent: what the process file says. */
  readonly onStoreUnavailable?: OnStoreUnavailable | undefined;
}

/** A slot as one attempt to get it has it. */
export interface HeldSlot {
  /** `<T>.<22 characters of base64url>`, as a reservation id: T finds the subject, the rest nobody can guess. */
  readonly id: string;
  /** Which attempt took it last: only that one may give it back. */
  readonly attempt: number;
}

export interface SlotAnswer {
  /** undefined: none was free, or nobody counts at the moment. */
  readonly slot: HeldSlot | undefined;
  readonly taken: boolean;
  /** Slots of the subject that are taken now, this one included. */
  readonly open: number;
}

/** What comes of a claim that takes nothing, where so many slots are open. */
export function lookedAt(open: number, limit: number | undefined): SlotAnswer {
  const taken = limit === undefined || open < limit;
  return { taken, slot: undefined, open: taken ? open + 1 : open };
}

export type Released = 'released' | 'unknown';

/** Ports. All throw DependencyError: it may have been done, and is undone by the end of the lease. */
export interface Slots {
  /**
   * Takes a slot until it is released or its lease is over, whichever is first: never more at once than the limit,
   * whoever else claims at the same time.
   */
  readonly take: (claim: SlotClaim) => SlotAnswer | Promise<SlotAnswer>;
  /** What `take` would say, taking nothing: a slot is never in it. */
  readonly look: (claim: SlotClaim) => SlotAnswer | Promise<SlotAnswer>;
  /** The request has ended. Ids that are unknown, or released already, change nothing. */
  readonly release: (id: string) => Released | Promise<Released>;
  /** The request was not let through after all. Changes nothing where another attempt of the same request has it. */
  readonly giveBack: (slot: HeldSlot) => Released | Promise<Released>;
}

/** A slot that a request has. */
export interface Slot {
  readonly id: string;
  /** For a request that is not let through after all. Nobody waits for it; it never throws. */
  readonly giveBack: () => void;
}
