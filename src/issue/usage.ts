import type { ActiveBoost } from '../check/boost.ts';
import { teamSubject } from '../check/charges.ts';
import type { Consume, WindowState } from '../check/limit.ts';
import type { Tier, WindowLimit } from '../policy/policy.ts';
import { teamOf } from '../policy/resolve.ts';

export interface ReadUsageOptions {
  /** The counters that the gateway charges; a claim of cost 0 only looks. */
  readonly consume: Consume;
  /** How long the counters may take, in milliseconds. */
  readonly timeoutMs: number;
  readonly now: () => number;
}

export interface Consumer {
  readonly subject: string;
  readonly tier: Tier;
  /** Among which their team may be. */
  readonly groups: readonly string[];
}

export interface Usage {
  /** Theirs for all models, theirs for some, then their team's. */
  readonly windows: readonly WindowState[];
  /** Of their own limits. */
  readonly boost?: ActiveBoost;
}

/** Every window of a consumer as it stands, charging nothing. Throws DependencyError: the counters can't be read. */
export type ReadUsage = (consumer: Consumer) => Promise<Usage>;

export function createReadUsage({ consume, timeoutMs, now }: ReadUsageOptions): ReadUsage {
  async function look(subject: string, windows: readonly WindowLimit[]): Promise<Usage> {
    if (windows.length === 0) return { windows: [] };
    const charges = windows.map((window) => ({ window, cost: 0 }));
    return consume({ subject, id: '', charges, deadlineAtMs: now() + timeoutMs });
  }

  return async ({ subject, tier, groups }) => {
    const team = teamOf(tier, groups);
    const [own, shared] = await Promise.all([
      look(subject, [...tier.windows, ...tier.models.flatMap(({ windows }) => windows)]),
      team === undefined ? { windows: [] } : look(teamSubject(team), tier.shared?.windows ?? []),
    ]);
    return { ...own, windows: [...own.windows, ...shared.windows] };
  };
}
