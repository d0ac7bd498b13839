import type { Consume, WindowState } from '../check/limit.ts';
import type { Tier } from '../policy/policy.ts';

export interface ReadUsageOptions {
  /** The counters that the gateway charges; a claim of cost 0 only looks. */
  readonly consume: Consume;
  /** How long the counters may take, in milliseconds. */
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** Subject × tier → every window as it stands, charging nothing. Throws DependencyError: the counters can't be read. */
export type ReadUsage = (subject: string, tier: Tier) => Promise<readonly WindowState[]>;

export function createReadUsage({ consume, timeoutMs, now }: ReadUsageOptions): ReadUsage {
  return async (subject, tier) => {
    if (tier.windows.length === 0) return [];
    const charges = tier.windows.map((window) => ({ window, cost: 0 }));
    const decision = await consume({ subject, id: '', charges, deadlineAtMs: now() + timeoutMs });
    return decision.windows;
  };
}
