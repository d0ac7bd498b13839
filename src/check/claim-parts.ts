import { isDependencyError } from '../dependency-error.ts';
import type { OnStoreUnavailable } from '../policy/policy.ts';
import type { Bearer, ClaimPart } from './charges.ts';
import type { Charge, Consume, Decision, WindowState } from './limit.ts';
import type { Settle } from './settlement.ts';

export interface PartsClaim {
  readonly parts: readonly ClaimPart[];
  /** See Claim. */
  readonly id: string;
  readonly deadlineAtMs: number;
  readonly onStoreUnavailable: OnStoreUnavailable | undefined;
}

export interface PartsDecision extends Decision {
  /** When denied: whose counters had no room; the caller's own come first. */
  readonly deniedBy: Bearer | undefined;
}

export interface ClaimPartsOptions {
  readonly consume: Consume;
  readonly settle: Settle;
  /** An id for claims that come without one: what is charged must be nameable to be taken back. */
  readonly newId: () => string;
}

type Outcome = { readonly decision: Decision } | { readonly error: unknown };

/**
 * Charges counters of several subjects, all or none. They are on different servers perhaps, so each is asked at the same
 * time as the others, and what one side granted is taken back where another denied: never more than a limit passes, and
 * for a moment a unit less than could. Nobody waits for that. Throws DependencyError as Consume does, when nobody denied and
 * some counter could not be reached.
 */
export function createClaimParts(options: ClaimPartsOptions) {
  const { consume, settle, newId } = options;

  function takeBack(subject: string, id: string): void {
    try {
      const settled = settle({ subject, id, used: 'nothing' });
      if (settled instanceof Promise) settled.catch(ignoreDependency);
    } catch (error) {
      ignoreDependency(error);
    }
  }

  function combine(parts: readonly ClaimPart[], outcomes: readonly Outcome[], id: string): PartsDecision {
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
      windows: parts.flatMap((part, at) => statesOf(part, decisions[at])),
      retryAfterMs: retriesMs.includes(undefined)
        ? undefined
        : Math.max(...retriesMs.map((retryMs) => retryMs ?? 0)),
      deniedBy: parts[decisions.findIndex((decision) => decision?.admitted === false)]?.bearer,
    };
  }

  return ({
    parts,
    id,
    deadlineAtMs,
    onStoreUnavailable,
  }: PartsClaim): PartsDecision | Promise<PartsDecision> => {
    const [first] = parts;
    const ask = (part: ClaimPart, as: string): Decision | Promise<Decision> => {
      const { subject, charges } = part;
      return consume({ subject, id: as, charges, deadlineAtMs, onStoreUnavailable });
    };
    if (first !== undefined && parts.length === 1) {
      const decision = ask(first, id);
      if (!(decision instanceof Promise)) return decidedBy(first, decision);
      return decision.then((made) => decidedBy(first, made));
    }
    const nameable = id === '' ? newId() : id;
    const asked = parts.map((part) => {
      try {
        const decision = ask(part, nameable);
        return decision instanceof Promise ? decision.then(decided, failed) : { decision };
      } catch (error) {
        return failed(error);
      }
    });
    if (asked.every((outcome): outcome is Outcome => !(outcome instanceof Promise))) {
      return combine(parts, asked, nameable);
    }
    return Promise.all(asked.map((outcome) => Promise.resolve(outcome))).then((outcomes) =>
      combine(parts, outcomes, nameable),
    );
  };
}

const decided = (decision: Decision): Outcome => ({ decision });
const failed = (error: unknown): Outcome => ({ error });

/** What could not be taken back stays charged: too much for its subject, and never over a limit. */
function ignoreDependency(error: unknown): void {
  if (!isDependencyError(error)) throw error;
}

function decidedBy({ bearer }: ClaimPart, decision: Decision): PartsDecision {
  return { ...decision, deniedBy: decision.admitted ? undefined : bearer };
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
function statesOf({ charges }: ClaimPart, decision: Decision | undefined): readonly WindowState[] {
  if (decision === undefined) return [];
  if (!decision.admitted) return decision.windows;
  return decision.windows.map((state, at) => withoutCharge(state, charges[at]));
}

function withoutCharge(state: WindowState, charge: Charge | undefined): WindowState {
  const remaining = Math.min(state.window.limit, state.remaining + (charge?.cost ?? 0));
  return { ...state, remaining };
}
