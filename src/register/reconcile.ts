import { isDependencyError } from '../dependency-error.ts';
import type { Realm } from './action-context.ts';
import type { AppliedAction, Apply } from './apply.ts';
import type { Cluster, DiscoverClusters } from './cluster.ts';
import { type Desired, type DesiredOptions, desireClients } from './desired.ts';
import type { DocumentStore } from './document-store.ts';
import { failsRun, type Finding, type FindingKind, finding } from './finding.ts';
import type { IatState } from './iat-state.ts';
import { type Inspection, type IssuerStanding, type Plan, planChanges } from './plan.ts';
import type { RemovalOptions } from './removal.ts';
import { inspectClients, saveTombstones, type Survey, surveyStore } from './survey.ts';
import {
  finishToken,
  type InstanceReport,
  type ManagedInstance,
  realmOf,
  type TendedInstance,
  tendToken,
  type TokenUse,
} from './tend-token.ts';

export interface ReconcileOptions {
  readonly discover: DiscoverClusters;
  readonly desired: DesiredOptions;
  readonly records: DocumentStore;
  readonly state: DocumentStore;
  readonly instances: readonly ManagedInstance[];
  readonly removal: Omit<RemovalOptions, 'allowMassDelete'>;
  readonly apply: Apply;
  /** What we may not do in the store though we would have to, in words; nothing is changed while there is any. */
  readonly missingRights: (signal: AbortSignal) => Promise<readonly string[]>;
  readonly now: () => number;
  readonly onApplied: (applied: AppliedAction) => void;
}

export interface PassFlags {
  /** Reads and asks, changes nothing anywhere. */
  readonly dryRun: boolean;
  readonly allowMassDelete: boolean;
}

export interface PassReport {
  /** Undefined: there was nothing to plan from; a finding says why. */
  readonly plan: Plan | undefined;
  readonly applied: readonly AppliedAction[];
  readonly findings: readonly Finding[];
  readonly instances: readonly InstanceReport[];
  /** Undefined: they could not be discovered. */
  readonly clusters: readonly Cluster[] | undefined;
  /** How many clients are stored after the pass; undefined: the store could not tell. */
  readonly storedCount: number | undefined;
  /** Whether everything is as wanted, or will be by itself. */
  readonly isConverged: boolean;
}

export type Reconcile = (flags: PassFlags, stop: AbortSignal) => Promise<PassReport>;

/**
 * One level-based pass: look at both sides, renew what must be renewed, plan, apply. It needs no memory of the
 * pass before. Whatever fails is a finding, and what does not depend on it goes on: a broken Initial Access
 * Token stops creates, a broken discovery stops all changes, neither stops the watch over the tokens.
 */
export function createReconcile(options: ReconcileOptions): Reconcile {
  return async (flags, stop) => {
    const pass = createPass(options, flags, stop);
    const states = new Map<ManagedInstance, IatState>();
    for (const managed of options.instances) states.set(managed, await managed.life.inspect(stop));
    const mayChange = (await pass.checkRights()) && !flags.dryRun;
    // Before the records are read: it changes their versions.
    if (mayChange) pass.findings.push(...(await options.apply.saveUnsaved()));
    const clusters = await pass.orFinding('discovery_failed', 'discovery', options.discover(stop));
    const survey = await pass.orFinding(
      'dependency_failed',
      'store',
      surveyStore(options.records, options.state, stop),
    );
    const sight = clusters && survey && (await pass.look(clusters, survey, states));

    const tended: TendedInstance[] = [];
    for (const [managed, state] of states) {
      const plannedCreates = sight === undefined ? 0 : missingClients(managed, sight);
      tended.push(await tendToken(managed, state, { plannedCreates, mayChange, nowMs: options.now() }, stop));
    }
    const plan = sight && pass.plan(sight, tended);
    const applied = sight && plan && mayChange ? await pass.apply(sight, plan, tended) : [];

    const instances: InstanceReport[] = [];
    for (const each of tended) {
      const use = useOf(each.managed, applied);
      instances.push(await finishToken(each, use, { mayChange, nowMs: options.now() }, stop));
    }
    const findings = [
      ...pass.findings,
      ...(plan?.findings ?? []),
      ...applied.flatMap((entry) => entry.findings),
      ...instances.flatMap(({ renewal }) => renewal?.finding ?? []),
    ];
    const isConverged = findings.every(({ kind }) => !failsRun[kind]);
    const storedCount = survey && survey.stored.size + storedBy(applied);
    return { plan, applied, findings, instances, clusters, storedCount, isConverged };
  };
}

/** Both sides as a pass found them. */
interface Sight {
  readonly survey: Survey;
  readonly desired: Desired;
  readonly inspections: ReadonlyMap<string, Inspection>;
}

interface Pass {
  /** Of everything but the plan and its actions. */
  readonly findings: Finding[];
  readonly orFinding: <T>(kind: FindingKind, subject: string, answer: Promise<T>) => Promise<T | undefined>;
  readonly checkRights: () => Promise<boolean>;
  readonly look: (
    clusters: readonly Cluster[],
    survey: Survey,
    states: ReadonlyMap<ManagedInstance, IatState>,
  ) => Promise<Sight>;
  readonly plan: (sight: Sight, tended: readonly TendedInstance[]) => Plan;
  readonly apply: (
    sight: Sight,
    plan: Plan,
    tended: readonly TendedInstance[],
  ) => Promise<readonly AppliedAction[]>;
}

function createPass(options: ReconcileOptions, flags: PassFlags, stop: AbortSignal): Pass {
  const findings: Finding[] = [];
  const orFinding: Pass['orFinding'] = async (kind, subject, answer) => {
    try {
      return await answer;
    } catch (error) {
      if (!isDependencyError(error)) throw error;
      findings.push(finding(kind, subject, error.message));
      return undefined;
    }
  };

  return {
    findings,
    orFinding,
    checkRights: async () => {
      const missing = await orFinding('store_forbidden', 'store', options.missingRights(stop));
      for (const right of missing ?? []) findings.push(finding('store_forbidden', 'store', right));
      return missing?.length === 0;
    },
    look: async (clusters, survey, states) => {
      const desired = desireClients(clusters, options.desired);
      const realms = realmsOf([...states].map(([managed, state]) => ({ managed, state })));
      const inspected = await inspectClients(desired.clientById, survey, realms, stop);
      findings.push(...survey.findings, ...inspected.findings);
      return { survey, desired, inspections: inspected.inspections };
    },
    plan: (sight, tended) =>
      planChanges({
        ...sight.survey,
        desired: sight.desired,
        inspections: sight.inspections,
        issuers: new Map(tended.map((each) => [each.managed.life.instance.issuer, standingOf(each)])),
        removal: { ...options.removal, allowMassDelete: flags.allowMassDelete },
        nowMs: options.now(),
      }),
    apply: async (sight, plan, tended) => {
      const { onApplied } = options;
      const applied = await options.apply.run(
        { actions: plan.actions, realms: realmsOf(tended), onApplied },
        stop,
      );
      const saving = saveTombstones(options.state, sight.survey, plan.tombstones, stop);
      await orFinding('dependency_failed', 'store', saving);
      return applied;
    },
  };
}

function realmsOf(tended: readonly Pick<TendedInstance, 'managed' | 'state'>[]): ReadonlyMap<string, Realm> {
  return new Map(tended.map(({ managed, state }) => [managed.life.instance.issuer, realmOf(managed, state)]));
}

function standingOf({ managed, state }: TendedInstance): IssuerStanding {
  return {
    instance: managed.life.instance.name,
    createsBlocked:
      state.problem === undefined
        ? undefined
        : `the Initial Access Token is ${state.problem}: ${state.detail}`,
    isAdministered: managed.administration !== undefined,
    supportsAttributes: managed.registration.supportsAttributes,
  };
}

function useOf(managed: ManagedInstance, applied: readonly AppliedAction[]): TokenUse {
  const { issuer } = managed.life.instance;
  const creates = applied.filter(
    ({ action }) => action.kind === 'create' && action.desired.issuer === issuer,
  );
  return {
    created: creates.filter(({ outcome }) => outcome === 'done').length,
    wentWell: creates.every(({ outcome }) => outcome !== 'blocked'),
  };
}

/** By how many the stored clients became more. */
function storedBy(applied: readonly AppliedAction[]): number {
  let more = 0;
  for (const { action, outcome } of applied) {
    if (outcome !== 'done') continue;
    if (action.kind === 'create' && action.stored === undefined) more += 1;
    if (action.kind === 'remove') more -= 1;
  }
  return more;
}

/** How many clients are to be registered at the instance: wanted there, and not stored or gone. */
function missingClients(managed: ManagedInstance, { desired, survey, inspections }: Sight): number {
  const { issuer } = managed.life.instance;
  return [...desired.clientById.values()].filter(
    ({ id, issuer: wantedAt }) =>
      wantedAt === issuer && (!survey.stored.has(id) || inspections.get(id)?.state === 'gone'),
  ).length;
}
