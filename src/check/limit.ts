import { isDependencyError } from '../dependency-error.ts';
import type { OnStoreUnavailable, Tier, WindowLimit } from '../policy/policy.ts';
import type { ActiveBoost } from './boost.ts';
import { bounded } from './deadline.ts';
import { type Denied, denied } from './outcome.ts';

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
  readonly consume: Consume;
  readonly now: () => number;
}

/** Who asks, for the counters. */
export interface Caller {
  readonly subject: string;
  readonly tier: Tier;
  /** See Claim. */
  readonly id: string;
  readonly deadlineAtMs: number;
}

/** What passed the limits, with the windows as they stand, for the client's headers. */
export interface Grant {
  readonly windows: readonly WindowState[];
}

export type CheckLimit = (caller: Caller) => Grant | Denied | Promise<Grant | Denied>;

const unlimited: Grant = { windows: [] };

/** Subject × Tier → within every window that applies, or not. */
export function createCheckLimit({ consume, now }: LimitOptions): CheckLimit {
  /** Every request of a tier costs the same, so that its charges are made once. */
  const chargesByTier = new WeakMap<Tier, readonly Charge[]>();

  function chargesOf(tier: Tier): readonly Charge[] {
    let charges = chargesByTier.get(tier);
    if (charges === undefined) {
      charges = tier.windows.map((window) => ({ window, cost: 1 }));
      chargesByTier.set(tier, charges);
    }
    return charges;
  }

  return (caller) => {
    const { subject, tier, id, deadlineAtMs } = caller;
    const charges = chargesOf(tier);
    if (charges.length === 0) return unlimited;
    let decision: Decision | Promise<Decision>;
    try {
      decision = consume({ subject, id, charges, deadlineAtMs, onStoreUnavailable: tier.onStoreUnavailable });
    } catch (error) {
      return storeUnavailable(error);
    }
    if (!(decision instanceof Promise)) return grantOrDenial(decision);
    return bounded(decision.then(grantOrDenial), deadlineAtMs, now(), () => unavailable()).catch(
      storeUnavailable,
    );
  };
}

function grantOrDenial(decision: Decision): Grant | Denied {
  const { admitted, windows, retryAfterMs } = decision;
  if (admitted) return { windows };
  const binding = windows.find((state) => state.exceeded && state.window.mode === 'enforce');
  const reason =
    binding === undefined || binding.window.unit === 'requests' ? 'requests_exceeded' : 'tokens_exceeded';
  return denied(reason, 'The limit of your tier is used up for now.', {
    windows,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
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
