import type { Policy, Tier } from '../policy/policy.ts';
import { tierOf } from '../policy/resolve.ts';
import { type Denied, denied } from './outcome.ts';

export type AssignTier = (groups: readonly string[]) => Tier | Denied;

/** Groups → the tier that they belong to by the policy in force. */
export function createAssignTier(policy: () => Policy): AssignTier {
  return (groups) => tierOf(policy(), groups) ?? denied('no_tier', 'None of your groups belongs to a tier.');
}
