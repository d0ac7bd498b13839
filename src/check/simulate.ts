import { formatDuration } from '../duration.ts';
import type { Policy, Tier, WindowLimit } from '../policy/policy.ts';
import { type ClaimPart, createPartsOf } from './charges.ts';
import { createClaimParts, type PartsDecision } from './claim-parts.ts';
import type { Charge } from './limit.ts';
import { createMemoryCounters } from './memory-consume.ts';
import { isDenied } from './outcome.ts';
import {
  type Change,
  createTallies,
  createTimeline,
  type DenyingLimit,
  mostNames,
  type Simulation,
} from './simulation.ts';
import { createAssignTier } from './tier.ts';

/** One line of a decision log, as far as limits go. */
export interface LoggedDecision {
  readonly atMs: number;
  /** Why it was denied; absent where it passed. */
  readonly reason?: string;
  readonly subject?: string;
  readonly tier?: string;
  /** `namespace/name` */
  readonly model?: string;
  /** For how many requests it stands: a whole number. */
  readonly weight: number;
}

export interface SimulationOptions {
  /** The document that is tried out. */
  readonly policy: Policy;
  /** What is known of a user's groups: then the document decides their tier, and the log does not. */
  readonly groupsOf?: (user: string) => readonly string[] | undefined;
}

export interface RunningSimulation {
  /** In the order of their times; one that is late counts as of the newest before it. */
  readonly add: (decision: LoggedDecision) => void;
  /** In words why nothing can be said by such a log, where nothing can. */
  readonly result: () => Simulation | string;
}

/** Reasons for which this simulation decides anew. */
const decidedAnew: ReadonlySet<string> = new Set(['requests_exceeded', 'capacity_exceeded']);
/** Of limits that are not simulated: denied then, denied now. */
const keptDenied: ReadonlySet<string> = new Set(['tokens_exceeded', 'concurrency_exceeded']);

/** Behind the newest by more than this, a line is told of. */
const lateMs = 1000;
/** A limit of fewer samples than this can not be told finely. */
const leastSamples = 20;

/**
 * Decisions of the past → who would have been denied by a document. The windows are the limiter's own (window.ts), in
 * memory and exact; leases, which let pass the same and only ask less often, are left out. Requests come as they did:
 * whoever is denied now, and would have tried again, is not imagined.
 */
export function createSimulation({ policy, groupsOf }: SimulationOptions): RunningSimulation {
  let nowMs = 0;
  const counters = createMemoryCounters({ now: () => nowMs, maxSubjects: Number.POSITIVE_INFINITY });
  const partsOf = createPartsOf(() => policy);
  const assignTier = createAssignTier(() => policy);
  let ids = 0;
  const claimParts = createClaimParts({ ...counters, newId: () => `s${(ids += 1)}` });
  const { ofRequests, scaled } = createScaledParts();
  const tierByName = new Map(policy.tiers.map((tier) => [tier.name, tier] as const));

  const tiers = createTallies();
  const users = createTallies();
  const models = createTallies();
  const total = createTallies();
  const timeline = createTimeline();
  const limits = new Map<WindowLimit, { readonly tier: string; denied: number }>();
  const unaffected: Record<string, number> = {};
  const seen = {
    decisions: 0,
    allowed: 0,
    late: 0,
    firstMs: 0,
    withoutTier: new Set<string>(),
    coarse: new Set<WindowLimit>(),
  };

  function tierOf(subject: string, name: string | undefined): Tier | undefined {
    const groups = groupsOf?.(subject);
    const named = name === undefined ? undefined : tierByName.get(name);
    if (groups === undefined && named !== undefined) return named;
    if (groups === undefined && name !== undefined) seen.withoutTier.add(name);
    // Every user is in that group, and so is every token.
    const tier = assignTier([...(groups ?? []), 'system:authenticated']);
    return isDenied(tier) ? undefined : tier;
  }

  function claim(parts: readonly ClaimPart[], requests: number): PartsDecision {
    const decision = claimParts({
      parts: scaled(parts, requests),
      id: '',
      deadlineAtMs: Number.POSITIVE_INFINITY,
      onStoreUnavailable: undefined,
    });
    if (decision instanceof Promise) throw new TypeError('counters in memory answer at once');
    return decision;
  }

  /** How many of so many requests at once are denied. */
  function decide(parts: readonly ClaimPart[], { weight }: LoggedDecision, tier: Tier): number {
    if (parts.length === 0) return 0;
    const decision = claim(parts, weight);
    if (decision.admitted) return 0;
    const charges = parts.flatMap((part) => part.charges);
    let room = weight;
    let binding: WindowLimit | undefined;
    for (const [at, { window, remaining }] of decision.windows.entries()) {
      const cost = charges[at]?.cost ?? 1;
      const fits = Math.floor(remaining / cost);
      if (window.mode === 'shadow' || fits >= room) continue;
      room = fits;
      binding = window;
    }
    if (room > 0) claim(parts, room);
    const denied = weight - room;
    if (binding !== undefined) {
      const counted = limits.get(binding) ?? { tier: tier.name, denied: 0 };
      counted.denied += denied;
      limits.set(binding, counted);
    }
    return denied;
  }

  function noteCoarse(parts: readonly ClaimPart[], weight: number): void {
    for (const { charges } of parts)
      for (const { window, cost } of charges)
        if (window.limit < leastSamples * weight * cost) seen.coarse.add(window);
  }

  function count(decision: LoggedDecision, tier: string, deniedNow: number): void {
    const { subject = '', model = '', weight, reason } = decision;
    const change: Change = { deniedThen: reason !== undefined, requests: weight, deniedNow };
    tiers.add(tier, change);
    users.add(subject, change);
    models.add(model, change);
    total.add('', change);
    timeline.add(nowMs, change);
  }

  return {
    add(decision) {
      const { atMs, reason, subject, model, weight } = decision;
      seen.decisions += 1;
      if (seen.decisions === 1) seen.firstMs = atMs;
      if (atMs < nowMs - lateMs) seen.late += 1;
      nowMs = Math.max(nowMs, atMs);
      if (reason === undefined) seen.allowed += weight;
      const isKept = reason !== undefined && keptDenied.has(reason);
      if (reason !== undefined && !isKept && !decidedAnew.has(reason)) {
        unaffected[reason] = (unaffected[reason] ?? 0) + weight;
        return;
      }
      // Public paths, and those for which a tier is enough.
      if (subject === undefined || model === undefined) return;
      const tier = tierOf(subject, decision.tier);
      if (tier === undefined || isKept) {
        count(decision, tier?.name ?? 'none', weight);
        return;
      }
      const groups = () => groupsOf?.(subject) ?? [];
      const parts = ofRequests(partsOf({ subject, tier, model, groups }));
      if (weight > 1) noteCoarse(parts, weight);
      count(decision, tier.name, decide(parts, decision, tier));
    },
    result() {
      if (seen.decisions === 0) return 'There is no decision in the log.';
      if (seen.allowed === 0) {
        return 'No request of this log passed: it was written with `log.decisions: denials`, and says nothing of what a limit would do to the others. Write it with `log.decisions: all`, or `{sample: n}`.';
      }
      const [{ name: _name, ...all } = emptyTally] = total.top(1);
      return {
        decisions: seen.decisions,
        from: new Date(seen.firstMs).toISOString(),
        to: new Date(nowMs).toISOString(),
        total: all,
        unaffected,
        byTier: tiers.top(mostNames),
        byUser: users.top(mostNames),
        byModel: models.top(mostNames),
        users: users.size(),
        deniedBy: [...limits]
          .map(([window, counted]) => denyingLimit(window, counted))
          .sort((a, b) => b.denied - a.denied),
        timeline: timeline.result(),
        notes: notesOf(policy, seen, groupsOf !== undefined),
      };
    },
  };
}

const emptyTally = { name: '', requests: 0, deniedThen: 0, deniedNow: 0, newlyDenied: 0, newlyAllowed: 0 };

function denyingLimit(
  { scope, unit, windowMs, limit }: WindowLimit,
  { tier, denied }: { readonly tier: string; readonly denied: number },
): DenyingLimit {
  return { tier, scope, unit, windowMs, limit, denied };
}

/** The same parts, as far as they count requests; and at so many requests at once. The same arrays each time. */
function createScaledParts() {
  const requestsOf = new WeakMap<readonly Charge[], readonly Charge[]>();
  const byCharges = new WeakMap<readonly Charge[], Map<number, readonly Charge[]>>();

  function scale(charges: readonly Charge[], requests: number): readonly Charge[] {
    let byRequests = byCharges.get(charges);
    if (byRequests === undefined) {
      byRequests = new Map();
      byCharges.set(charges, byRequests);
    }
    let found = byRequests.get(requests);
    if (found === undefined) {
      found = charges.map(({ window, cost }) => ({ window, cost: cost * requests }));
      byRequests.set(requests, found);
    }
    return found;
  }

  function requestsAmong(charges: readonly Charge[]): readonly Charge[] {
    let found = requestsOf.get(charges);
    if (found === undefined) {
      found = charges.filter(({ window }) => window.unit === 'requests');
      requestsOf.set(charges, found);
    }
    return found;
  }

  return {
    ofRequests: (parts: readonly ClaimPart[]): readonly ClaimPart[] =>
      parts
        .map((part) => ({ ...part, charges: requestsAmong(part.charges) }))
        .filter(({ charges }) => charges.length > 0),
    scaled: (parts: readonly ClaimPart[], requests: number): readonly ClaimPart[] =>
      requests === 1 ? parts : parts.map((part) => ({ ...part, charges: scale(part.charges, requests) })),
  };
}

interface Seen {
  readonly late: number;
  readonly withoutTier: ReadonlySet<string>;
  readonly coarse: ReadonlySet<WindowLimit>;
}

function notesOf(
  policy: Policy,
  { late, withoutTier, coarse }: Seen,
  knowsGroups: boolean,
): readonly string[] {
  const { tiers } = policy;
  const notes: string[] = [];
  if (late > 0) {
    notes.push(
      `${late === 1 ? '1 line is out of order and counts' : `${late} lines are out of order and count`} as of the newest before them: sort the log by time.`,
    );
  }
  for (const name of withoutTier) {
    notes.push(`Tier ${name} of the log is not in the document: its users count as users of no other group.`);
  }
  for (const { limit, unit, windowMs } of coarse) {
    notes.push(
      `A limit of ${limit} ${unit} in ${formatDuration(windowMs)} is finer than the sample of the log: what it denies is a guess.`,
    );
  }
  if (tiers.some(({ shared }) => shared !== undefined) && !knowsGroups) {
    notes.push('Limits of teams are left out: the log names no groups; --users does.');
  }
  if (policyWindows(policy).some(({ unit }) => unit !== 'requests')) {
    notes.push('Limits of tokens are left out: what they denied stays denied.');
  }
  if (tiers.some(({ concurrency }) => concurrency !== undefined)) {
    notes.push('Limits of open requests are left out: what they denied stays denied.');
  }
  return notes;
}

function policyWindows({ tiers, capacity }: Policy): readonly WindowLimit[] {
  return [
    ...tiers.flatMap(({ windows, models, shared }) => [
      ...windows,
      ...models.flatMap((model) => model.windows),
      ...(shared?.windows ?? []),
    ]),
    ...capacity.flatMap((model) => model.windows),
  ];
}
