import { DependencyError } from '../dependency-error.ts';
import type { Policy, Tier, WindowLimit } from '../policy/policy.ts';
import { bounded } from './deadline.ts';
import type { Consume, Decision, WindowState } from './limit.ts';

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
  | 'tier_unknown';

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
 * Entries → limits: `user` is the subject, `tier` a tier of the policy document, `model` may say which model is
 * meant; nothing else, each once. The counters are those of Check, so that whoever asks both for one request
 * charges it twice.
 *
 * Whoever can not be found is not within a limit: an entry that a gateway forgot must never make anybody unlimited,
 * whatever the gateway does with errors.
 */
export function createLimitDescriptors(options: LimitDescriptorsOptions): LimitDescriptors {
  const { policy, consume, now } = options;

  async function decide(counter: NamedCounter, units: number, deadlineAtMs: number): Promise<Decision> {
    const { subject, tier } = counter;
    const charges = requestWindows(tier).map((window) => ({ window, cost: units }));
    if (charges.length === 0) return unlimited;
    const { onStoreUnavailable } = tier;
    // A gateway does not say which of its requests it asks for: no id, and a call that is repeated charges again.
    const decision = consume({ subject, id: '', charges, deadlineAtMs, onStoreUnavailable });
    if (!(decision instanceof Promise)) return decision;
    return bounded(decision, deadlineAtMs, now(), () => {
      throw new DependencyError('counters', 'timeout');
    });
  }

  return async (domain, descriptors, deadlineAtMs) => {
    const named = descriptors.map((descriptor) => readCounter(policy(), domain, descriptor));
    /** One claim for each counter, so that descriptors of the same one can not fit singly and not together. */
    const claims = new Map<string, Claimed>();
    for (const [index, counter] of named.entries()) {
      if (typeof counter === 'string') continue;
      const units = (claims.get(counter.key)?.units ?? 0) + (descriptors[index]?.units ?? 0);
      claims.set(counter.key, { counter, units: Math.min(units, mostUnits) });
    }
    const isRefused = named.some((counter) => typeof counter === 'string');
    const ask = async (isCharged: boolean): Promise<ReadonlyMap<string, Decision>> =>
      new Map(
        await Promise.all(
          [...claims].map(async ([key, { counter, units }]): Promise<[string, Decision]> => {
            const decision = await decide(counter, isCharged ? units : 0, deadlineAtMs);
            return [key, isCharged ? decision : foreseen(decision, units)];
          }),
        ),
      );
    // With several counters, all are looked at before one is charged: they may live on different servers.
    let decisions = isRefused || claims.size > 1 ? await ask(false) : await ask(true);
    const wouldPass = !isRefused && [...decisions.values()].every(({ admitted }) => admitted);
    if (wouldPass && claims.size > 1) decisions = await ask(true);
    return named.map((counter) => {
      if (typeof counter === 'string') return { within: false, fault: counter };
      const { admitted = false, windows = [], retryAfterMs } = decisions.get(counter.key) ?? {};
      return { within: admitted, windows, retryAfterMs };
    });
  };
}

interface NamedCounter {
  readonly key: string;
  readonly subject: string;
  readonly tier: Tier;
}

interface Claimed {
  readonly counter: NamedCounter;
  readonly units: number;
}

const unlimited: Decision = { admitted: true, windows: [], retryAfterMs: undefined };

/** Above every limit, and far from where doubles lose whole numbers. */
export const mostUnits = 2 ** 45;

const knownEntries: ReadonlySet<string> = new Set(['user', 'tier', 'model']);

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
  return { key: JSON.stringify([subject, tier.name]), subject, tier };
}

/** Units of a gateway's calls are requests. */
function requestWindows({ windows }: Tier): readonly WindowLimit[] {
  return windows.filter(({ unit }) => unit === 'requests');
}

/** What a look says of units that were not asked for yet. */
function foreseen(decision: Decision, units: number): Decision {
  const windows = decision.windows.map((state) => ({
    ...state,
    exceeded: units > 0 && state.remaining < units,
  }));
  const binding = windows.filter(({ exceeded, window }) => exceeded && window.mode === 'enforce');
  const canFit = binding.every(({ window }) => window.limit >= units);
  return {
    admitted: decision.admitted && binding.length === 0,
    windows,
    retryAfterMs: canFit ? Math.max(0, ...binding.map(({ resetAfterMs }) => resetAfterMs)) : undefined,
  };
}
