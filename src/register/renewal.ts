import { isDependencyError } from '../dependency-error.ts';
import { type Finding, finding } from './finding.ts';
import type { IatLife } from './iat-life.ts';
import type { IatProblem, IatState, Instance } from './iat-state.ts';

/** When a token is renewed without being asked. */
export interface RenewalOptions {
  /** This long before its end, in ms. Less than the token's life. */
  readonly beforeMs: number;
  /** When fewer registrations than this are left on it. */
  readonly minRemaining: number;
}

/** Problems that a new token solves. With `unreadable` the store is away: there is nowhere to put one. */
const isSolvedByRenewal: Readonly<Record<IatProblem, boolean>> = {
  missing: true,
  unreadable: false,
  malformed: true,
  wrong_type: true,
  wrong_issuer: true,
  expired: true,
  exhausted: true,
  revoked: true,
  rejected: true,
};

/** Why the token is to be renewed now, in words; undefined: it is not. */
export function renewalReason(
  state: IatState,
  instance: Instance,
  options: RenewalOptions,
  need: { readonly plannedCreates: number; readonly nowMs: number },
): string | undefined {
  if (state.problem !== undefined) return isSolvedByRenewal[state.problem] ? state.detail : undefined;
  const expiresAtMs = state.claims?.expiresAtMs;
  if (expiresAtMs !== undefined && expiresAtMs - need.nowMs <= options.beforeMs)
    return `it expires at ${new Date(expiresAtMs).toISOString()}`;
  // No more is asked of a token than a new one has, or each would be renewed the moment it is made.
  const wanted = Math.min(Math.max(options.minRemaining, need.plannedCreates), instance.clients);
  if (state.remaining !== undefined && state.remaining < wanted)
    return `${state.remaining} registrations are left on it`;
  return undefined;
}

export interface RenewalResult {
  readonly outcome: 'renewed' | 'failed';
  readonly reason: string;
  readonly finding: Finding | undefined;
}

export async function renew(life: IatLife, reason: string, signal: AbortSignal): Promise<RenewalResult> {
  const failedWith = (detail: string): RenewalResult => ({
    outcome: 'failed',
    reason,
    finding: finding('renewal_failed', life.instance.name, detail),
  });
  try {
    const replacement = await life.renew(signal);
    if (replacement.outcome === 'refused') return failedWith(replacement.detail);
    return { outcome: 'renewed', reason, finding: undefined };
  } catch (error) {
    if (!isDependencyError(error)) throw error;
    return failedWith(error.message);
  }
}
