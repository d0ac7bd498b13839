import { isDependencyError } from '../dependency-error.ts';
import type { OnStoreUnavailable, Policy, Tier, WindowLimit } from '../policy/policy.ts';
import type { ActiveBoost } from './boost.ts';
import { type Bearer, type ClaimPart, createPartsOf } from './charges.ts';
import { createClaimParts, type HeldReservation, type PartsDecision } from './claim-parts.ts';
import type { CheckInput } from './check-input.ts';
import { bounded } from './deadline.ts';
import type { DenialReason } from './denial.ts';
import type { Model } from './model.ts';
import { type Denied, denied } from './outcome.ts';
import type { Principal } from './principal.ts';
import { type Reservation, type ReservationNames, type TokenCounts, tokensToReserve } from './reservation.ts';
import type { Settle } from './settlement.ts';
import type { Slot } from './slot.ts';
import type { ReadTokenDemand } from './token-demand.ts';

/** One window that a claim is charged to. */
export interface Charge {
  readonly window: WindowLimit;
  /** Units to charge, a whole number; 0 looks only. */
  readonly cost: number;
}

/** A wish to be counted: all charges or none. */
export interface Claim {
  readonly subject: string;
  /** Envoy's stream id: a claim with an id that was charged is admitted again without a charge. Empty: none. */
  readonly id: string;
  readonly charges: readonly Charge[];
  /** Epoch milliseconds; a claim that reaches the counters later charges nothing. */
  readonly deadlineAtMs: number;
  /** What holds while the counters can not be reached. Absent: what the process file says. */
  readonly onStoreUnavailable?: OnStoreUnavailable | undefined;
  /** Of a claim with tokens: each charge of them is for so many, and whoever knows the claim's id settles it. */
  readonly reservation?: Reservation | undefined;
}

/** A window as it stands after a claim. */
export interface WindowState {
  readonly window: WindowLimit;
  /** Units left; never below 0. */
  readonly remaining: number;
  /** Milliseconds until the window is whole again if nothing more is charged. */
  readonly resetAfterMs: number;
  /** Whether this window had no room for the claim. */
  readonly exceeded: boolean;
  /** True: the counters were away, and this process counted alone, within its share of the limit. */
  readonly isLocal?: boolean;
}

export interface Decision {
  readonly admitted: boolean;
  /** In the order of the charges. */
  readonly windows: readonly WindowState[];
  /** When denied: the earliest time from now at which the claim fits, or undefined if it never can. */
  readonly retryAfterMs: number | undefined;
  /** In force for the subject; the limits of `windows` have it in them. */
  readonly boost?: ActiveBoost;
}

/**
 * Port: charges all windows of a claim or none, exactly: never more than the limit in any window of that
 * length, whoever else claims at the same time. Throws DependencyError: the counters could not be reached,
 * and whether the claim was charged may be unknown.
 */
export type Consume = (claim: Claim) => Decision | Promise<Decision>;

export interface LimitOptions {
  readonly policy: () => Policy;
  readonly consume: Consume;
  readonly settle: Settle;
  /** The caller's groups, as far as teams go; of an issued token those of the person it was issued to. */
  readonly groupsOf: (principal: Principal) => readonly string[];
  readonly newId: () => string;
  readonly reservationNames: ReservationNames;
  readonly readTokenDemand: ReadTokenDemand;
  readonly now: () => number;
}

/** Who asks, and for what. */
export interface Caller {
  readonly principal: Principal;
  readonly subject: string;
  readonly tier: Tier;
  readonly model: Model;
  /** See Claim. */
  readonly id: string;
  /** Looked at only where tokens are limited. */
  readonly input: CheckInput;
  readonly deadlineAtMs: number;
}

/** What passed the limits, with the windows as they stand, for the client's headers. */
export interface Grant {
  readonly windows: readonly WindowState[];
  /** Where the tier limits how many requests may be open. */
  readonly slot?: Slot | undefined;
  /** Where tokens are limited. */
  readonly reservation?: HeldReservation | undefined;
}

export type CheckLimit = (caller: Caller) => Grant | Denied | Promise<Grant | Denied>;

const unlimited: Grant = { windows: [] };

/** Subject × Tier × Model → within every window that applies, or not. */
export function createCheckLimit(options: LimitOptions): CheckLimit {
  const { policy, groupsOf, readTokenDemand, now } = options;
  const partsOf = createPartsOf(policy);
  const claimParts = createClaimParts(options);

  return ({ principal, subject, tier, model, id, input, deadlineAtMs }) => {
    const parts = partsOf({ subject, tier, model: model.id, groups: () => groupsOf(principal) });
    if (parts.length === 0) return unlimited;
    let tokens: TokenCounts | undefined;
    if (parts.some(({ countsTokens }) => countsTokens)) {
      const demand = readTokenDemand(input);
      const hidesUsage = demand.isStream && demand.includesUsage !== true;
      if (hidesUsage && tier.streamWithoutUsage === 'deny' && parts.some(limitsTokens)) return usageRequired;
      tokens = tokensToReserve(demand, tier.reserve);
    }
    let decision: PartsDecision | Promise<PartsDecision>;
    try {
      const { onStoreUnavailable } = tier;
      decision = claimParts({ parts, id, tokens, deadlineAtMs, onStoreUnavailable });
    } catch (error) {
      return storeUnavailable(error);
    }
    if (!(decision instanceof Promise)) return grantOrDenial(decision);
    let isLate = false;
    const late = () => {
      isLate = true;
      return unavailable();
    };
    const decided = decision.then((made) => {
      // Nobody will use it.
      if (isLate) made.reservation?.giveBack();
      return grantOrDenial(made);
    });
    return bounded(decided, deadlineAtMs, now(), late).catch(storeUnavailable);
  };
}

/** Shadow windows deny nothing. */
function limitsTokens({ charges }: ClaimPart): boolean {
  return charges.some(({ window: { unit, mode } }) => unit !== 'requests' && mode === 'enforce');
}

const usageRequired = denied(
  'usage_required',
  'A stream must say what it used: set stream_options.include_usage to true.',
);

function grantOrDenial(decision: PartsDecision): Grant | Denied {
  const { admitted, windows, retryAfterMs, deniedBy = 'own', reservation } = decision;
  if (admitted) return reservation === undefined ? { windows } : { windows, reservation };
  const reason = reasonOf(deniedBy, windows);
  const neverFits = reason === 'tokens_exceeded' && retryAfterMs === undefined;
  return denied(reason, neverFits ? tooManyTokens : details[deniedBy], {
    windows,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

const details: Readonly<Record<Bearer, string>> = {
  own: 'The limit of your tier is used up for now.',
  team: 'The limit of your team is used up for now.',
  capacity: 'The model takes no more requests for now.',
};

const tooManyTokens =
  'The request may use more tokens than your limit ever holds: make it shorter, or ask for fewer with max_tokens.';

function reasonOf(deniedBy: Bearer, windows: readonly WindowState[]): DenialReason {
  if (deniedBy === 'capacity') return 'capacity_exceeded';
  const binding = windows.find(
    ({ exceeded, window }) =>
      exceeded && window.mode === 'enforce' && (deniedBy === 'team') === (window.scope === 'team'),
  );
  return binding === undefined || binding.window.unit === 'requests'
    ? 'requests_exceeded'
    : 'tokens_exceeded';
}

function storeUnavailable(error: unknown): Denied {
  if (isDependencyError(error)) return unavailable(error);
  throw error;
}

function unavailable(cause?: unknown): Denied {
  return denied('limit_unavailable', 'Your limits can not be checked right now.', {
    retryAfterMs: 1000,
    cause: cause ?? 'the deadline of the check ran out',
  });
}
