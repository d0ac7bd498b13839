import type { ModelCapacity, ModelLimits, Policy, Tier } from './policy.ts';

/**
 * The tier of the highest level that holds one of the groups (the first in the document among equals, as
 * `tier-to-group-mapping` always meant it), else the default tier where one is set.
 */
export function tierOf({ tierByGroup, defaultTier }: Policy, groups: readonly string[]): Tier | undefined {
  let best: Tier | undefined;
  for (const group of groups) {
    const tier = tierByGroup.get(group);
    if (tier !== undefined && (best === undefined || tier.rank < best.rank)) best = tier;
  }
  return best ?? defaultTier;
}

/** What a tier says of a model beside what it says of all: the narrowest pattern that matches, and no other. */
export function modelLimitsOf({ models }: Tier, model: string): ModelLimits | undefined {
  return models.find(({ pattern }) => pattern.matches(model));
}

/** What a model takes, whoever asks: the narrowest pattern that matches, and no other. */
export function modelCapacityOf({ capacity }: Policy, model: string): ModelCapacity | undefined {
  return capacity.find(({ pattern }) => pattern.matches(model));
}

/**
 * The team whose counter a request of a caller is charged to: of the groups that the tier's pattern names, the first by
 * code units. One request counts for one team, so that the teams' sums are what was used.
 */
export function teamOf({ shared }: Tier, groups: readonly string[]): string | undefined {
  if (shared === undefined) return undefined;
  let team: string | undefined;
  for (const group of groups) {
    if (shared.by.matches(group) && (team === undefined || group < team)) team = group;
  }
  return team;
}

/** Groups that some tier's limits are shared by: what has to be known of a user later. */
export function sharedGroups({ tiers }: Policy, groups: readonly string[]): readonly string[] {
  return [...new Set(groups)]
    .filter((group) => tiers.some(({ shared }) => shared?.by.matches(group) === true))
    .sort();
}
