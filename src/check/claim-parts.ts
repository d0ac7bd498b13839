import { isDependencyError } from '../dependency-error.ts';
import type { OnStoreUnavailable } from '../policy/policy.ts';
import type { Bearer, ClaimPart } from './charges.ts';
import { formatKeyedId } from './keyed-id.ts';
import type { Charge, Consume, Decision, WindowState } from './limit.ts';
import { type Reservation, type ReservationNames, type TokenCounts, unitsOf } from './reservation.ts';
import type { Settle } from './settlement.ts';

export interface PartsClaim {
  readonly parts: readonly ClaimPart[];
  /** See Claim. */
  readonly id: string;
  /** What the request may use of tokens; undefined where none are counted. */
  readonly tokens?: TokenCounts | undefined;
  readonly deadlineAtMs: number;
  readonly onStoreUnavailable: OnStoreUnavailable | undefined;
}

/** Tokens that a claim was charged until somebody tells how many were used. */
export interface HeldReservation {
  /** See KeyedId. */
  readonly id: string;
  readonly tokens: TokenCounts;
  /** For a request that is not let through after all: takes the whole claim back. Nobody waits for it; it never throws. */
  readonly giveBack: () => void;
}

export interface PartsDecision extends Decision {
  /** When denied: whose counters had no room; the caller's own come first. */
  readonly deniedBy?: Bearer | undefined;
  /** When admitted, and tokens were charged. */
  readonly reservation?: HeldReservation;
}

export interface ClaimPartsOptions {
  readonly consume: Consume;
  readonly settle: Settle;
  /** An id for claims that come without one: what is charged must be nameable to be taken back. */
  readonly newId: () => string;
  readonly reservationNames: ReservationNames;
}

/** One reservation, which stands under the keyed hash of every subject whose tokens it is charged to. */
interface Reserving {
  readonly name: string;
  readonly tokens: TokenCounts;
  /** In the order of the parts; undefined for one that counts no tokens. */
  readonly parts: readonly (Reservation | undefined)[];
}

type Outcome = { readonly decision: Decision } | { readonly error: unknown };

/**
 * Charges counters of several subjects, all or none. They are on different servers perhaps, so each is asked at the same
 * time as the others, and what one side granted is taken back where another denied: never more than a limit passes, and
 * for a moment a unit less than could. Nobody waits for that. Throws DependencyError as Consume does, when nobody denied and
 * some counter could not be reached.
 */
export function createClaimParts(options: ClaimPartsOptions) {
  const { consume, settle, newId, reservationNames } = options;

  function takeBack(subject: string, id: string): void {
    try {
      const settled = settle({ subject, id, used: 'nothing' });
      if (settled instanceof Promise) settled.catch(ignoreDependency);
    } catch (error) {
      ignoreDependency(error);
    }
  }

  /** The first part that counts tokens leads to the others. */
  function reserve(parts: readonly ClaimPart[], requestId: string, tokens: TokenCounts): Reserving {
    const tags = parts.map(({ countsTokens, subject }) =>
      countsTokens ? reservationNames.tagOf(subject) : undefined,
    );
    const first = tags.findIndex((tag) => tag !== undefined);
    return {
      name: reservationNames.nameOf(requestId),
      tokens,
      parts: parts.map(({ weight }, at) => {
        const tag = tags[at];
        if (tag === undefined) return undefined;
        const others = at === first ? tags.slice(at + 1).filter((other) => other !== undefined) : [];
        return { tokens, weight, tag, others };
      }),
    };
  }

  /** Nothing is held where nobody counted: while the store is away, and the policy lets pass. */
  function withReservation(
    decision: PartsDecision,
    { name, tokens, parts: reservations }: Reserving,
    parts: readonly ClaimPart[],
  ): PartsDecision {
    const tag = reservations.find((reservation) => reservation !== undefined)?.tag;
    if (tag === undefined || !decision.admitted || decision.windows.length === 0) return decision;
    const giveBack = () => {
      for (const { subject } of parts) takeBack(subject, name);
    };
    return { ...decision, reservation: { id: formatKeyedId({ tag, name }), tokens, giveBack } };
  }

  function combine({ parts, tokens }: PartsClaim, outcomes: readonly Outcome[], id: string): PartsDecision {
    const decisions = outcomes.map((outcome) => ('decision' in outcome ? outcome.decision : undefined));
    if (decisions.every((decision) => decision?.admitted === true)) return admittedBy(decisions);

    for (const [at, { subject }] of parts.entries()) {
      // One that could not be reached may have been charged all the same.
      if (decisions[at]?.admitted !== false) takeBack(subject, id);
    }
    const denials = decisions.filter((decision) => decision?.admitted === false);
    if (denials.length === 0) {
      throw outcomes.find((outcome) => 'error' in outcome)?.error;
    }
    const retriesMs = denials.map((decision) => decision?.retryAfterMs);
    return {
      admitted: false,
      windows: parts.flatMap((part, at) => statesOf(part, decisions[at], tokens)),
      retryAfterMs: retriesMs.includes(undefined)
        ? undefined
        : Math.max(...retriesMs.map((retryMs) => retryMs ?? 0)),
      deniedBy: parts[decisions.findIndex((decision) => decision?.admitted === false)]?.bearer,
    };
  }

  function claimAll(
    claim: PartsClaim,
    reservations: Reserving['parts'] | undefined,
  ): PartsDecision | Promise<PartsDecision> {
    const { parts, id, deadlineAtMs, onStoreUnavailable } = claim;
    const [first] = parts;
    const ask = (part: ClaimPart, as: string, at = 0): Decision | Promise<Decision> => {
      const { subject, charges } = part;
      const reservation = reservations?.[at];
      return consume({ subject, id: as, charges, deadlineAtMs, onStoreUnavailable, reservation });
    };
    if (first !== undefined && parts.length === 1) {
      const decision = ask(first, id);
      if (!(decision instanceof Promise)) return decidedBy(first, decision);
      return decision.then((made) => decidedBy(first, made));
    }
    const nameable = id === '' ? newId() : id;
    const asked = parts.map((part, at) => {
      try {
        const decision = ask(part, nameable, at);
        return decision instanceof Promise ? decision.then(decided, failed) : { decision };
      } catch (error) {
        return failed(error);
      }
    });
    if (asked.every((outcome): outcome is Outcome => !(outcome instanceof Promise))) {
      return combine(claim, asked, nameable);
    }
    return Promise.all(asked.map((outcome) => Promise.resolve(outcome))).then((outcomes) =>
      combine(claim, outcomes, nameable),
    );
  }

  return (claim: PartsClaim): PartsDecision | Promise<PartsDecision> => {
    if (claim.tokens === undefined) return claimAll(claim, undefined);
    const reserving = reserve(claim.parts, claim.id, claim.tokens);
    const decision = claimAll({ ...claim, id: reserving.name }, reserving.parts);
    if (!(decision instanceof Promise)) return withReservation(decision, reserving, claim.parts);
    return decision.then((made) => withReservation(made, reserving, claim.parts));
  };
}

const decided = (decision: Decision): Outcome => ({ decision });
const failed = (error: unknown): Outcome => ({ error });

/** What could not be taken back stays charged: too much for its subject, and never over a limit. */
function ignoreDependency(error: unknown): void {
  if (!isDependencyError(error)) throw error;
}

function decidedBy({ bearer }: ClaimPart, decision: Decision): PartsDecision {
  return decision.admitted ? decision : { ...decision, deniedBy: bearer };
}

function admittedBy(decisions: readonly (Decision | undefined)[]): PartsDecision {
  return {
    admitted: true,
    windows: decisions.flatMap((decision) => decision?.windows ?? []),
    retryAfterMs: undefined,
    deniedBy: undefined,
  };
}

/** Windows as they stand once that part was taken back; none of a part that nobody could tell of. */
function statesOf(
  { charges }: ClaimPart,
  decision: Decision | undefined,
  tokens: TokenCounts | undefined,
): readonly WindowState[] {
  if (decision === undefined) return [];
  if (!decision.admitted) return decision.windows;
  return decision.windows.map((state, at) => withoutCharge(state, charges[at], tokens));
}

function withoutCharge(
  state: WindowState,
  charge: Charge | undefined,
  tokens: TokenCounts | undefined,
): WindowState {
  const { window, remaining } = state;
  const back = charge === undefined ? 0 : unitsOf(window.unit, charge.cost, tokens);
  return { ...state, remaining: Math.min(window.limit, remaining + back) };
}
