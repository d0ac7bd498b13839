import type { ModelLimits, Policy, Tier, WindowLimit } from '../policy/policy.ts';
import { modelCapacityOf, modelLimitsOf, teamOf } from '../policy/resolve.ts';
import type { Charge } from './limit.ts';

/** Whose counters some charges fall on: the caller's own, those of a team, those of a model. */
export type Bearer = 'own' | 'team' | 'capacity';

/** Charges that fall on the counters of one subject, and so are charged in one call. */
export interface ClaimPart {
  readonly bearer: Bearer;
  readonly subject: string;
  readonly charges: readonly Charge[];
  /** What a request costs, and each of its tokens. */
  readonly weight: number;
  /** Whether tokens are among what is charged. */
  readonly countsTokens: boolean;
}

type PartCharges = Pick<ClaimPart, 'charges' | 'weight' | 'countsTokens'>;

export interface Request {
  readonly subject: string;
  readonly tier: Tier;
  /** `namespace/name` */
  readonly model: string;
  /** The caller's groups, as far as teams go; asked for only where the tier has teams. */
  readonly groups: () => readonly string[];
}

/** No user name begins so: neither teams nor models are ever counted as somebody. */
const notAUser = '\u0000';

export function teamSubject(team: string): string {
  return `${notAUser}group:${team}`;
}

export function modelSubject(model: string): string {
  return `${notAUser}model:${model}`;
}

/**
 * Request → everything it is charged to. Charges of the same tier, model pattern and bearer are the same array each time,
 * so that whatever is worked out from them is worked out once for each policy.
 */
export function createPartsOf(policy: () => Policy): (request: Request) => readonly ClaimPart[] {
  const ownByLimits = new WeakMap<object, PartCharges>();
  const teamByLimits = new WeakMap<object, PartCharges>();
  const byCapacity = new WeakMap<object, PartCharges>();

  /** A tier without a word about the model is its own key. */
  function ownCharges(tier: Tier, limits: ModelLimits | undefined): PartCharges {
    return kept(ownByLimits, limits ?? tier, () =>
      chargesOf([...tier.windows, ...(limits?.windows ?? [])], limits?.weight ?? 1),
    );
  }

  return ({ subject, tier, model, groups }) => {
    const limits = tier.models.length === 0 ? undefined : modelLimitsOf(tier, model);
    const parts: ClaimPart[] = [];
    const own = ownCharges(tier, limits);
    if (own.charges.length > 0) parts.push({ bearer: 'own', subject, ...own });

    const { shared } = tier;
    const team = shared === undefined ? undefined : teamOf(tier, groups());
    if (shared !== undefined && team !== undefined) {
      const charges = kept(teamByLimits, limits ?? tier, () =>
        chargesOf(shared.windows, limits?.weight ?? 1),
      );
      parts.push({ bearer: 'team', subject: teamSubject(team), ...charges });
    }

    const snapshot = policy();
    const capacity = snapshot.capacity.length === 0 ? undefined : modelCapacityOf(snapshot, model);
    if (capacity !== undefined && capacity.windows.length > 0) {
      const charges = kept(byCapacity, capacity, () => chargesOf(capacity.windows, 1));
      parts.push({ bearer: 'capacity', subject: modelSubject(model), ...charges });
    }
    return parts;
  };
}

function chargesOf(windows: readonly WindowLimit[], weight: number): PartCharges {
  return {
    charges: windows.map((window) => ({ window, cost: weight })),
    weight,
    countsTokens: windows.some(({ unit }) => unit !== 'requests'),
  };
}

function kept<Key extends object, Value>(map: WeakMap<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
