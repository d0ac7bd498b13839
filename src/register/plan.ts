import type { Action } from './action.ts';
import type { DesiredClient, RegisteredClient, StoredClient } from './client.ts';
import { differencesOf, recordDifferences } from './difference.ts';
import type { Desired } from './desired.ts';
import { type Finding, finding } from './finding.ts';
import type { Intent } from './intent.ts';
import { tokenLost } from './obstacle.ts';
import { judgeRemovals, type RemovalOptions, removalCap, type Tombstones } from './removal.ts';

/** What the realm says of a stored client that is still wanted. */
export type Inspection =
  | { readonly state: 'registered'; readonly client: RegisteredClient }
  /** The realm does not know it any more. */
  | { readonly state: 'gone' }
  /** It is there, and our registration access token is not taken for it. */
  | { readonly state: 'token_lost' }
  /** Nobody could tell; a finding says why. */
  | { readonly state: 'unknown' };

/** What the plan needs to know of the realm behind an issuer. */
export interface IssuerStanding {
  readonly instance: string;
  /** Why nothing can be registered there now; undefined: it can. */
  readonly createsBlocked: string | undefined;
  /** Whether an administrator's account is configured, which can give out lost registration access tokens. */
  readonly isAdministered: boolean;
  readonly supportsAttributes: boolean;
}

export interface PlanInput {
  readonly desired: Desired;
  readonly stored: ReadonlyMap<string, StoredClient>;
  /** Of every id that is both wanted and stored. */
  readonly inspections: ReadonlyMap<string, Inspection>;
  readonly intents: ReadonlyMap<string, Intent>;
  readonly tombstones: Tombstones;
  readonly issuers: ReadonlyMap<string, IssuerStanding>;
  /** Ids whose stored document can't be read: hands off. */
  readonly unreadableIds: ReadonlySet<string>;
  readonly removal: RemovalOptions;
  readonly nowMs: number;
}

export interface Plan {
  /** In the order in which they are to be done: what adds comes before what takes away. */
  readonly actions: readonly Action[];
  readonly findings: readonly Finding[];
  readonly tombstones: Tombstones;
}

/** The difference between what is wanted and what is registered. Pure: the same input gives the same plan. */
export function planChanges(input: PlanInput): Plan {
  const additions = withoutMassRecreation(input, planWanted(input));
  const leftovers = planLeftovers(input);
  const removals = planRemovals(input, additions.actions);
  return {
    actions: [...additions.actions, ...leftovers.actions, ...removals.actions],
    findings: [...input.desired.findings, ...additions.findings, ...leftovers.findings, ...removals.findings],
    tombstones: removals.tombstones,
  };
}

interface PartOfPlan {
  readonly actions: readonly Action[];
  readonly findings: readonly Finding[];
}

function planWanted(input: PlanInput): PartOfPlan {
  const actions: Action[] = [];
  const findings: Finding[] = [];
  for (const desired of [...input.desired.clientById.values()].sort(byId)) {
    const standing = input.issuers.get(desired.issuer);
    if (input.unreadableIds.has(desired.id)) continue;
    const storedIssuer = input.stored.get(desired.id)?.issuer ?? desired.issuer;
    if (storedIssuer !== desired.issuer) {
      const detail = `it is registered with ${storedIssuer} and would have to move to ${desired.issuer} under the same id: disable it first`;
      findings.push(finding('unsupported', desired.id, detail));
    } else if (standing === undefined) {
      findings.push(finding('issuer_unknown', desired.id, `no instance is configured for ${desired.issuer}`));
    } else if (Object.keys(desired.attributes).length > 0 && !standing.supportsAttributes) {
      const detail = `${standing.instance} is used through an endpoint that can't set a group filter`;
      findings.push(finding('unsupported', desired.id, detail));
    } else {
      const planned = planOne(desired, standing, input);
      if (planned === undefined) continue;
      if ('detail' in planned) findings.push(planned);
      else actions.push(planned);
    }
  }
  return { actions, findings };
}

function planOne(
  desired: DesiredClient,
  standing: IssuerStanding,
  input: PlanInput,
): Action | Finding | undefined {
  const { id } = desired;
  const stored = input.stored.get(id);
  const intent = input.intents.get(id);
  const inspection = input.inspections.get(id);
  if (stored === undefined || inspection?.state === 'gone') {
    if (standing.createsBlocked === undefined) return { kind: 'create', id, desired, stored, intent };
    return finding('create_blocked', id, `${standing.instance}: ${standing.createsBlocked}`);
  }
  if (inspection?.state === 'token_lost') {
    if (standing.isAdministered) return { kind: 'recover', id, desired, stored, intent };
    return finding(tokenLost.kind, id, tokenLost.detail);
  }
  if (inspection?.state !== 'registered') return undefined;
  const differences = differencesOf(desired, inspection.client);
  if (differences.length > 0) return { kind: 'update', id, desired, stored, differences, intent };
  return planRecord(stored, inspection.client, intent);
}

function planRecord(
  stored: StoredClient,
  registered: RegisteredClient,
  intent: Intent | undefined,
): Action | undefined {
  const { id } = stored;
  const differences = recordDifferences(stored, registered);
  if (differences.length > 0) return { kind: 'save', id, stored, registered, differences, intent };
  return intent === undefined ? undefined : { kind: 'clear', id, intent };
}

/** Intents without a record whose client is not wanted now: a client may stand in the realm for nobody. */
function planLeftovers(input: PlanInput): PartOfPlan {
  const actions: Action[] = [];
  const findings: Finding[] = [];
  for (const intent of input.intents.values()) {
    const { id } = intent;
    if (input.desired.clientById.has(id) || input.stored.has(id) || input.unreadableIds.has(id)) continue;
    if (input.issuers.has(intent.issuer)) actions.push({ kind: 'abandon', id, intent });
    else findings.push(finding('issuer_unknown', id, `no instance is configured for ${intent.issuer}`));
  }
  return { actions, findings };
}

function planRemovals(
  input: PlanInput,
  additions: readonly Action[],
): PartOfPlan & { readonly tombstones: Tombstones } {
  const gone = [...input.inspections].filter(([, { state }]) => state === 'gone').map(([id]) => id);
  const settledIds = new Set(input.stored.keys());
  for (const id of gone) settledIds.delete(id);
  const verdict = judgeRemovals({ ...input, settledIds, options: input.removal });
  const findings = [...verdict.findings];
  const planned = new Set(additions.filter(({ kind }) => kind === 'create').map(({ id }) => id));
  const actions: Action[] = [];
  for (const { stored, evidence, waitsFor } of verdict.removals) {
    if (!input.issuers.has(stored.issuer)) {
      findings.push(
        finding('issuer_unknown', stored.id, `no instance is configured for ${stored.issuer}: it is kept`),
      );
      continue;
    }
    if (waitsFor === undefined || planned.has(waitsFor))
      actions.push({
        kind: 'remove',
        id: stored.id,
        stored,
        evidence,
        waitsFor,
        intent: input.intents.get(stored.id),
      });
    else findings.push(finding('removal_waits', stored.id, `its successor ${waitsFor} can't be made now`));
  }
  return { ...capped(input, actions, findings), tombstones: verdict.tombstones };
}

/**
 * Above the cap nothing is removed at all: which of them were meant can't be told. Replaced clients don't
 * count, their successors are stored.
 */
function capped(input: PlanInput, actions: readonly Action[], findings: readonly Finding[]): PartOfPlan {
  const cap = removalCap(input.stored.size, input.removal);
  const counted = actions.filter(
    (action) => action.kind === 'remove' && action.evidence !== 'replaced',
  ).length;
  if (counted <= cap) return { actions, findings };
  const detail = `${counted} of ${input.stored.size} stored clients would be removed, the cap of one run is ${cap}: nothing is removed unless mass deletion is allowed`;
  return {
    actions: actions.filter((action) => action.kind === 'remove' && action.evidence === 'replaced'),
    findings: [...findings, finding('mass_deletion_refused', 'plan', detail)],
  };
}

/**
 * A realm that knows nearly none of its clients is more likely a wrong or a restored realm than an empty one,
 * and registering them anew would overwrite secrets that still work elsewhere.
 */
function withoutMassRecreation(input: PlanInput, part: PartOfPlan): PartOfPlan {
  const cap = removalCap(input.stored.size, input.removal);
  const isAgain = (action: Action): boolean => action.kind === 'create' && action.stored !== undefined;
  const counted = part.actions.filter(isAgain).length;
  if (counted <= cap) return part;
  const detail = `${counted} of ${input.stored.size} stored clients are unknown to their realm, the cap of one run is ${cap}: none is registered anew unless mass deletion is allowed`;
  return {
    actions: part.actions.filter((action) => !isAgain(action)),
    findings: [...part.findings, finding('mass_deletion_refused', 'plan', detail)],
  };
}

function byId(left: DesiredClient, right: DesiredClient): number {
  return left.id < right.id ? -1 : 1;
}
