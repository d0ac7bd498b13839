import type { Policy, WindowLimit } from './policy.ts';

/** Where things stand in the document that a policy was read from: lines of the text that was given, from 1. */

export function lineOfTier(policy: Policy, tier: string): number | undefined {
  const at = policy.tiers.findIndex(({ name }) => name === tier);
  return at < 0 ? undefined : policy.lineOf?.(['tiers', at]);
}

/** Of a window of a tier (or of a model's capacity): where it is written, or where the tier is that has it by default. */
export function lineOfWindow(
  policy: Policy,
  tier: string | undefined,
  window: WindowLimit,
): number | undefined {
  const { scope, unit } = window;
  if (scope === 'capacity') {
    const capacity = policy.capacity.find(({ windows }) => windows.some((other) => isSame(other, window)));
    const index = capacity?.windows
      .filter((other) => other.unit === unit)
      .findIndex((other) => isSame(other, window));
    return capacity && policy.lineOf?.(['capacity', capacity.pattern.text, unit, index ?? 0]);
  }
  const at = policy.tiers.findIndex(({ name }) => name === tier);
  const found = policy.tiers[at];
  if (found === undefined) return undefined;
  const [place, windows]: readonly [readonly PropertyKey[], readonly WindowLimit[]] =
    scope === '*'
      ? [[], found.windows]
      : scope === 'team'
        ? [['shared'], found.shared?.windows ?? []]
        : [['models', scope], found.models.find(({ pattern }) => pattern.text === scope)?.windows ?? []];
  const index = windows.filter((other) => other.unit === unit).findIndex((other) => isSame(other, window));
  return policy.lineOf?.(['tiers', at, 'limits', ...place, unit, index]);
}

/** A window is one by scope, unit and length; a boosted limit is no other window. */
function isSame(one: WindowLimit, other: WindowLimit): boolean {
  return one.scope === other.scope && one.unit === other.unit && one.windowMs === other.windowMs;
}
