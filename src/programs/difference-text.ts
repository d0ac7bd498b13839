import { isSame, type LimitChange, type PolicyDifference, type TierChange } from '../policy/difference.ts';

/** A difference for a terminal, a line each. */
export function differenceLines(difference: PolicyDifference): readonly string[] {
  const { addedTiers, removedTiers, groups, users, limits, newWarnings, goneWarnings } = difference;
  return [
    ...(isSame(difference) ? ['nothing changes for anybody'] : []),
    ...addedTiers.map((name) => `+ tier ${name}`),
    ...removedTiers.map((name) => `- tier ${name}: tokens issued in it fall back to what every user has`),
    ...groups.map((change) => tierLine('group', change)),
    ...users.map((change) => tierLine('user', change)),
    ...limits.map(limitLine),
    ...newWarnings.map((warning) => `! ${warning}`),
    ...goneWarnings.map((warning) => `  no longer: ${warning}`),
  ];
}

function tierLine(kind: string, { name, from, to }: TierChange): string {
  return `~ ${kind} ${name}: ${from ?? 'no tier'} -> ${to ?? 'no tier'}`;
}

function limitLine({ of, what, from, to }: LimitChange): string {
  return `~ ${of}: ${what}: ${from ?? 'none'} -> ${to ?? 'none'}`;
}
