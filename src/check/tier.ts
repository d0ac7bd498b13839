import type { Policy, Tier } from '../policy/policy.ts';
import { type Denied, denied } from './outcome.ts';

export type AssignTier = (groups: readonly string[]) => Tier | Denied;

/**
 * Groups → the tier of the highest level that holds one of them (the first in the document among equals, as
 * `tier-to-group-mapping` always meant it), else the default tier where one is set.
 */
export function createAssignTier(policy: () => Policy): AssignTier {
  return (groups) => {
    const { tierByGroup, defaultTier } = policy();
    let best: Tier | undefined;
    for (const group of groups) {
      const tier = tierByGroup.get(group);
      if (tier !== undefined && (best === undefined || tier.rank < best.rank)) best = tier;
    }
    return best ?? defaultTier ?? denied('no_tier', 'None of your groups belongs to a tier.');
  };
}
