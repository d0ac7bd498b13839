import { type Boost, boostBounds, type ResetCounters, type SetBoost } from '../check/boost.ts';
import { modelSubject, teamSubject } from '../check/charges.ts';
import { type Denied, denied } from '../check/outcome.ts';
import type { Principal } from '../check/principal.ts';
import { formatDuration } from '../duration.ts';
import type { Policy, WindowLimit } from '../policy/policy.ts';
import { invalidRequest, type InvalidRequest } from './invalid-request.ts';

/** Whose counters: one person's, a team's, a model's. */
export type UsageTarget = { readonly kind: 'user' | 'group' | 'model'; readonly name: string };

/**
 * Port: one SubjectAccessReview: may the caller `update` `usage` of `tiergate.dev` in the issuer's namespace? Throws
 * DependencyError: nobody could tell.
 */
export type AuthorizeAdjustment = (principal: Principal) => Promise<boolean>;

export interface AdjustUsageOptions {
  readonly policy: () => Policy;
  readonly setBoost: SetBoost;
  readonly resetCounters: ResetCounters;
  readonly authorizeAdjustment: AuthorizeAdjustment;
}

/** What an operator does for one person, team or model. Each refuses (`mint_forbidden`) whoever may not; throws DependencyError. */
export interface AdjustUsage {
  readonly check: (principal: Principal) => Promise<Denied | undefined>;
  /** In place of any other boost. */
  readonly boost: (target: UsageTarget, boost: Boost) => Promise<Boost | InvalidRequest>;
  readonly endBoost: (target: UsageTarget) => Promise<void>;
  /** Forgets what was used, in every window that the policy in force has for such a target. */
  readonly reset: (target: UsageTarget) => Promise<void>;
}

export function createAdjustUsage(options: AdjustUsageOptions): AdjustUsage {
  const { policy, setBoost, resetCounters, authorizeAdjustment } = options;
  return {
    check: async (principal) =>
      (await authorizeAdjustment(principal))
        ? undefined
        : denied('mint_forbidden', 'You may not change what others may use.'),
    async boost(target, boost) {
      const { leastPercent, mostPercent, leastMs, mostMs } = boostBounds;
      const { percent, durationMs } = boost;
      if (!Number.isInteger(percent) || percent < leastPercent || percent > mostPercent) {
        return invalidRequest(
          'percent',
          `percent must be a whole number from ${leastPercent} to ${mostPercent}.`,
        );
      }
      if (durationMs < leastMs || durationMs > mostMs) {
        const bounds = `${formatDuration(leastMs)} to ${formatDuration(mostMs)}`;
        return invalidRequest('duration', `duration must be from ${bounds}.`);
      }
      await setBoost(subjectOf(target), boost);
      return boost;
    },
    endBoost: async (target) => setBoost(subjectOf(target), undefined),
    reset: async (target) => resetCounters(subjectOf(target), windowsOf(target, policy())),
  };
}

function subjectOf({ kind, name }: UsageTarget): string {
  const subjects = { user: name, group: teamSubject(name), model: modelSubject(name) };
  return subjects[kind];
}

/** Of every tier: whoever changed tier has counters in both. */
function windowsOf({ kind }: UsageTarget, { tiers, capacity }: Policy): readonly WindowLimit[] {
  if (kind === 'group') return tiers.flatMap(({ shared }) => shared?.windows ?? []);
  if (kind === 'model') return capacity.flatMap(({ windows }) => windows);
  return tiers.flatMap(({ windows, models }) => [...windows, ...models.flatMap((model) => model.windows)]);
}
