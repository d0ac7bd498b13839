import { DependencyError, isDependencyError } from '../dependency-error.ts';
import type { Policy, Tier } from '../policy/policy.ts';
import { type ClaimPart, createPartsOf } from './charges.ts';
import { createClaimParts, type PartsDecision } from './claim-parts.ts';
import { bounded } from './deadline.ts';
import type { Charge, Consume, WindowState } from './limit.ts';
import { mostUnits, type ReservationNames } from './reservation.ts';
import type { Settle } from './settlement.ts';

/** What a gateway asks about: ordered entries that name a counter, and the units it wants. */
export interface Descriptor {
  readonly entries: readonly { readonly key: string; readonly value: string }[];
  /** A whole number; 0 looks only. */
  readonly units: number;
}

/** Why a descriptor names no counter of ours. For operators: clients are told no more than that it can not be checked. */
export type DescriptorFault =
  | 'domain_unknown'
  | 'entry_unknown'
  | 'entry_repeated'
  | 'user_missing'
  | 'tier_missing'
  | 'tier_unknown'
  | 'model_missing'
  | 'group_missing';

export type DescriptorVerdict =
  | {
      readonly within: boolean;
      /** Windows as they stand; empty only for a tier that is unlimited. */
      readonly windows: readonly WindowState[];
      /** Not within: when the units fit, or undefined if they never can. */
      readonly retryAfterMs: number | undefined;
    }
  | { readonly within: false; readonly fault: DescriptorFault };

export interface LimitDescriptorsOptions {
  readonly policy: () => Policy;
  readonly consume: Consume;
  readonly settle: Settle;
  /** What is charged must be nameable to be taken back. */
  readonly newId: () => string;
  readonly reservationNames: ReservationNames;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/**
 * Descriptors → a verdict for each, in their order. One that is not within its limits, or names none, keeps all of
 * them from being charged. Throws DependencyError: nobody could tell.
 */
export type LimitDescriptors = (
  domain: string,
  descriptors: readonly Descriptor[],
  deadlineAtMs: number,
) => Promise<readonly DescriptorVerdict[]>;

/** The one domain whose descriptors are ours. */
export const ourDomain = 'tiergate';

/**
 * Entries → limits: `user` is the subject, `tier` a tier of the policy document, `model` (`namespace/name`) and `group` what
 * narrower limits are told by: needed where the document has such limits, and nothing else, each once. The counters are
 * those of Check, so that whoever asks both for one request charges it twice.
 *
 * Whoever can not be found is not within a limit: an entry that a gateway forgot must never make anybody unlimited,
 * whatever the gateway does with errors.
 */
export function createLimitDescriptors(options: LimitDescriptorsOptions): LimitDescriptors {
  const { policy, settle, newId, now } = options;
  const partsOf = createPartsOf(policy);
  const claimParts = createClaimParts(options);

  async function claim(
    { counter, units }: Claimed,
    id: string,
    deadlineAtMs: number,
  ): Promise<PartsDecision> {
    const { subject, tier, model, group } = counter;
    const groups = () => (group === '' ? [] : [group]);
    const parts = partsOf({ subject, tier, model, groups })
      .map((part): ClaimPart => {
        const { bearer, weight } = part;
        return {
          bearer,
          subject: part.subject,
          charges: chargesOf(part, units),
          weight,
          countsTokens: false,
        };
      })
      .filter(({ charges }) => charges.length > 0);
    if (parts.length === 0) return unlimited;
    const decision = claimParts({ parts, id, deadlineAtMs, onStoreUnavailable: tier.onStoreUnavailable });
    if (!(decision instanceof Promise)) return decision;
    return bounded(decision, deadlineAtMs, now(), () => {
      throw new DependencyError('counters', 'timeout');
    });
  }

  /** Nobody waits for it; what can not be taken back stays charged. */
  function takeBack({ counter }: Claimed, id: string): void {
    const { subject, tier, model, group } = counter;
    const groups = () => (group === '' ? [] : [group]);
    for (const part of partsOf({ subject, tier, model, groups })) {
      Promise.resolve()
        .then(() => settle({ subject: part.subject, id, used: 'nothing' }))
        .catch(ignoreDependency);
    }
  }

  return async (domain, descriptors, deadlineAtMs) => {
    const named = descriptors.map((descriptor) => readCounter(policy(), domain, descriptor));
    const claims = claimsOf(named, descriptors);
    // Nothing may be charged when a descriptor names nothing: then all are only looked at.
    const isLook = named.some((counter) => typeof counter === 'string');
    const asked = await Promise.all(
      claims.map(async (claimed) => {
        const id = newId();
        const made = await claim(isLook ? { ...claimed, units: 0 } : claimed, id, deadlineAtMs).catch(
          asFault,
        );
        return { claimed, id, made };
      }),
    );
    const isWhole = asked.every(({ made }) => !('fault' in made) && made.admitted);
    if (!isWhole && !isLook) {
      for (const { claimed, id, made } of asked) if ('fault' in made || made.admitted) takeBack(claimed, id);
    }
    const verdicts = new Map<string, DescriptorVerdict>();
    for (const { claimed, made } of asked) {
      if ('fault' in made) throw made.fault;
      const decision = isLook ? foreseen(made, claimed.units) : isWhole ? made : taken(made, claimed.units);
      const { admitted, windows, retryAfterMs } = decision;
      verdicts.set(claimed.counter.key, { within: admitted, windows, retryAfterMs });
    }
    return named.map((counter) => {
      if (typeof counter === 'string') return { within: false, fault: counter };
      return verdicts.get(counter.key) ?? { within: false, fault: 'user_missing' };
    });
  };
}

/** Units of a gateway's calls are requests. */
function chargesOf({ charges }: ClaimPart, units: number): readonly Charge[] {
  return charges
    .filter(({ window }) => window.unit === 'requests')
    .map(({ window, cost }) => ({ window, cost: Math.min(cost * units, mostUnits) }));
}

interface NamedCounter {
  readonly key: string;
  readonly subject: string;
  readonly tier: Tier;
  /** Empty where no limit asks for it. */
  readonly model: string;
  readonly group: string;
}

interface Claimed {
  readonly counter: NamedCounter;
  readonly units: number;
}

const unlimited: PartsDecision = {
  admitted: true,
  windows: [],
  retryAfterMs: undefined,
  deniedBy: undefined,
};

/** One claim for each counter, so that descriptors of the same one can not fit singly and not together. */
function claimsOf(
  named: readonly (NamedCounter | DescriptorFault)[],
  descriptors: readonly Descriptor[],
): readonly Claimed[] {
  const claims = new Map<string, Claimed>();
  for (const [index, counter] of named.entries()) {
    if (typeof counter === 'string') continue;
    const units = (claims.get(counter.key)?.units ?? 0) + (descriptors[index]?.units ?? 0);
    claims.set(counter.key, { counter, units: Math.min(units, mostUnits) });
  }
  return [...claims.values()];
}

function asFault(error: unknown): { readonly fault: unknown } {
  return { fault: error };
}

function ignoreDependency(error: unknown): void {
  if (!isDependencyError(error)) throw error;
}

const knownEntries: ReadonlySet<string> = new Set(['user', 'tier', 'model', 'group']);

function readCounter(
  policy: Policy,
  domain: string,
  { entries }: Descriptor,
): NamedCounter | DescriptorFault {
  if (domain !== ourDomain) return 'domain_unknown';
  const found = new Map(entries.map(({ key, value }) => [key, value]));
  if (found.size < entries.length) return 'entry_repeated';
  if (entries.some(({ key }) => !knownEntries.has(key))) return 'entry_unknown';
  const subject = found.get('user') ?? '';
  const tierName = found.get('tier') ?? '';
  if (subject === '') return 'user_missing';
  if (tierName === '') return 'tier_missing';
  const tier = policy.tiers.find(({ name }) => name === tierName);
  if (tier === undefined) return 'tier_unknown';
  const model = found.get('model') ?? '';
  const group = found.get('group') ?? '';
  if (model === '' && (tier.models.length > 0 || policy.capacity.length > 0)) return 'model_missing';
  if (group === '' && tier.shared !== undefined) return 'group_missing';
  return { key: JSON.stringify([subject, tier.name, model, group]), subject, tier, model, group };
}

/** What a look says of units that were not asked for. */
function foreseen(decision: PartsDecision, units: number): PartsDecision {
  const windows = decision.windows.map((state) => ({
    ...state,
    exceeded: units > 0 && state.remaining < units,
  }));
  const binding = windows.filter(({ exceeded, window }) => exceeded && window.mode === 'enforce');
  const canFit = binding.every(({ window }) => window.limit >= units);
  return {
    ...decision,
    admitted: decision.admitted && binding.length === 0,
    windows,
    retryAfterMs: canFit ? Math.max(0, ...binding.map(({ resetAfterMs }) => resetAfterMs)) : undefined,
  };
}

/** Windows as they stand once an admitted claim is taken back. */
function taken(decision: PartsDecision, units: number): PartsDecision {
  if (!decision.admitted) return decision;
  const windows = decision.windows.map((state) => ({
    ...state,
    remaining: Math.min(state.window.limit, state.remaining + units),
  }));
  return { ...decision, windows };
}
