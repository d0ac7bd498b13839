import type { Policy, Tier, WindowLimit } from '../policy/policy.ts';
import type { Route } from './console.ts';

export interface PolicyRouteOptions {
  readonly policy: () => Policy;
  /** Where the document stands, in words. */
  readonly source: string;
}

/** `/api/policy`: tiers and limits as they are in force, after defaults and before boosts. */
export function createPolicyRoute({ policy, source }: PolicyRouteOptions): Route {
  return {
    method: 'GET',
    path: '/api/policy',
    right: 'look',
    handle: async () => {
      const inForce = policy();
      const { capacity, defaultTier, warnings } = inForce;
      return {
        source,
        warnings,
        defaultTier: defaultTier?.name,
        tiers: tierViews(inForce),
        capacity: capacity.map(({ pattern, windows }) => ({
          model: pattern.text,
          windows: windows.map(windowView),
        })),
      };
    },
  };
}

/** The highest first. */
export function tierViews({ tiers }: Policy) {
  return tiers.map(tierView).toSorted((a, b) => a.rank - b.rank);
}

function tierView({ windows, models, shared, concurrency, ...tier }: Tier) {
  const { name, displayName, description, level, rank, groups, onStoreUnavailable, maxTokenLifetimeMs } =
    tier;
  return {
    name,
    displayName,
    description,
    level,
    rank,
    groups,
    onStoreUnavailable,
    maxTokenLifetimeMs,
    concurrency,
    windows: windows.map(windowView),
    models: models.map((model) => ({
      model: model.pattern.text,
      weight: model.weight,
      windows: model.windows.map(windowView),
    })),
    shared: shared && { by: shared.by.text, windows: shared.windows.map(windowView) },
  };
}

function windowView({ unit, windowMs, limit, mode }: WindowLimit) {
  return { unit, windowMs, limit, mode };
}
