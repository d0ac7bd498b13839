import { formatDuration } from '../duration.ts';
import type { Policy, Tier, WindowLimit } from './policy.ts';
import { tierOf } from './resolve.ts';

/** Whose tier is another one; undefined: none. */
export interface TierChange {
  readonly name: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** Something that a tier (or a model's capacity) says otherwise; undefined: it says nothing of it. */
export interface LimitChange {
  /** `tier free`, `capacity of llm/llama` */
  readonly of: string;
  /** `requests in 2m`, `requests in 2m for llm/big-*`, `level` */
  readonly what: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** What is different for whom: plain data, the same as JSON. */
export interface PolicyDifference {
  readonly addedTiers: readonly string[];
  readonly removedTiers: readonly string[];
  /** Somebody who is in that group alone; the groups of issued tokens are left out. */
  readonly groups: readonly TierChange[];
  /** Of the users that were asked about. */
  readonly users: readonly TierChange[];
  readonly limits: readonly LimitChange[];
  /** Warnings that only one of the documents gives: what can never bind is among them. */
  readonly newWarnings: readonly string[];
  readonly goneWarnings: readonly string[];
}

/** The API server puts everybody into it. */
const everybody = 'system:authenticated';

export function policyDifference(
  before: Policy,
  after: Policy,
  groupsByUser: ReadonlyMap<string, readonly string[]> = new Map(),
): PolicyDifference {
  const names = ({ tiers }: Policy) => tiers.map(({ name }) => name);
  const groups = [...new Set([...before.tierByGroup.keys(), ...after.tierByGroup.keys()])].sort();
  const tierNameOf = (policy: Policy, held: readonly string[]) => tierOf(policy, [...held, everybody])?.name;
  const changeOf = (name: string, held: readonly string[]): readonly TierChange[] => {
    const [from, to] = [tierNameOf(before, held), tierNameOf(after, held)];
    return from === to ? [] : [{ name, from, to }];
  };
  return {
    addedTiers: names(after).filter((name) => !names(before).includes(name)),
    removedTiers: names(before).filter((name) => !names(after).includes(name)),
    groups: groups.filter((group) => !isOfIssuedTokens(group)).flatMap((group) => changeOf(group, [group])),
    users: [...groupsByUser].flatMap(([user, held]) => changeOf(user, held)),
    limits: limitChanges(sayings(before), sayings(after)),
    newWarnings: after.warnings.filter((warning) => !before.warnings.includes(warning)),
    goneWarnings: before.warnings.filter((warning) => !after.warnings.includes(warning)),
  };
}

/** Whether nobody's request would be answered otherwise. */
export function isSame({ groups, users, limits, ...rest }: PolicyDifference): boolean {
  return [groups, users, limits, rest.addedTiers, rest.removedTiers].every(({ length }) => length === 0);
}

function isOfIssuedTokens(group: string): boolean {
  return /^system:serviceaccounts:.*-tier-/.test(group);
}

type Sayings = ReadonlyMap<string, ReadonlyMap<string, string>>;

function limitChanges(before: Sayings, after: Sayings): readonly LimitChange[] {
  const changes: LimitChange[] = [];
  for (const of of new Set([...before.keys(), ...after.keys()])) {
    const [then, now] = [before.get(of), after.get(of)];
    // One that is new or gone as a whole is said as that.
    if (of.startsWith('tier ') && (then === undefined || now === undefined)) continue;
    for (const what of new Set([...(then?.keys() ?? []), ...(now?.keys() ?? [])])) {
      const [from, to] = [then?.get(what), now?.get(what)];
      if (from !== to) changes.push({ of, what, from, to });
    }
  }
  return changes;
}

/** All that a policy says of limits, by whom it is about and what of. */
function sayings({ tiers, capacity, defaultTier }: Policy): Sayings {
  return new Map([
    ...tiers.map((tier) => [`tier ${tier.name}`, sayingsOfTier(tier)] as const),
    ...capacity.map(
      ({ pattern, windows }) => [`capacity of ${pattern.text}`, new Map(windows.map(sayingOf))] as const,
    ),
    ['everybody without a tier', new Map([['tier', defaultTier?.name ?? 'none']])] as const,
  ]);
}

function sayingsOfTier(tier: Tier): ReadonlyMap<string, string> {
  const { level, windows, models, shared, concurrency, onStoreUnavailable, maxTokenLifetimeMs } = tier;
  const { reserve, streamWithoutUsage } = tier;
  return new Map([
    ['level', String(level)],
    ['requests', windows.some(({ unit }) => unit === 'requests') ? 'limited' : 'unlimited'],
    ['reserve.promptTokens', String(reserve.promptTokens)],
    ['reserve.maxTokens', String(reserve.maxTokens)],
    ['streamWithoutUsage', streamWithoutUsage],
    ...windows.map(sayingOf),
    ...models.map(({ pattern, weight }) => [`weight of ${pattern.text}`, String(weight)] as const),
    ...models.flatMap((model) => model.windows.map(sayingOf)),
    ...(shared === undefined
      ? []
      : [['shared by', shared.by.text] as const, ...shared.windows.map(sayingOf)]),
    ...(concurrency === undefined
      ? []
      : [['open requests', limitWords(concurrency.limit, concurrency.mode)] as const]),
    ...(onStoreUnavailable === undefined ? [] : [['onStoreUnavailable', onStoreUnavailable] as const]),
    ...(maxTokenLifetimeMs === undefined
      ? []
      : [['maxTokenLifetime', formatDuration(maxTokenLifetimeMs)] as const]),
  ]);
}

function sayingOf({ scope, unit, windowMs, limit, mode }: WindowLimit): readonly [string, string] {
  const of = scope === '*' || scope === 'capacity' ? '' : ` for ${scope}`;
  return [`${unit} in ${formatDuration(windowMs)}${of}`, limitWords(limit, mode)];
}

function limitWords(limit: number, mode: string): string {
  return mode === 'shadow' ? `${limit} (shadow)` : String(limit);
}
