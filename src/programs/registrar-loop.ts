import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../process/log.ts';
import type { RegistrarMetrics } from '../process/registrar-metrics.ts';
import type { AppliedAction } from '../register/apply.ts';
import { failsRun } from '../register/finding.ts';
import type { PassReport, Reconcile } from '../register/reconcile.ts';
import type { InstanceReport } from '../register/tend-token.ts';

export interface RegistrarLoopOptions {
  readonly reconcile: Reconcile;
  readonly intervalMs: number;
  readonly metrics: RegistrarMetrics;
  readonly log: Log;
  /** After every pass, with what it could not do or find out. */
  readonly onPass: (report: PassReport) => void;
}

export interface RegistrarLoop {
  /** Resolves when the pass under way has finished its present action. */
  readonly stop: () => Promise<void>;
}

/** Passes, one after the other, the interval between the end of one and the beginning of the next. */
export function startRegistrarLoop(options: RegistrarLoopOptions): RegistrarLoop {
  const stopping = new AbortController();
  const { signal } = stopping;

  const onePass = async (): Promise<void> => {
    const startedAt = performance.now();
    try {
      const report = await options.reconcile({ dryRun: false, allowMassDelete: false }, signal);
      // A pass that was told to stop has not seen everything: what it says would be half the truth.
      if (signal.aborted) return;
      options.metrics.observePass(report, (performance.now() - startedAt) / 1000, Date.now());
      logPass(report, options.log);
      options.onPass(report);
    } catch (error) {
      // A bug in one pass is no reason to leave the tokens unwatched; the alert on passes tells.
      options.log.error('pass_crashed', { error });
    }
  };

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      await onePass();
      await sleep(options.intervalMs, undefined, { signal }).catch(() => undefined);
    }
  };
  const running = run();

  return {
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

function logPass(report: PassReport, log: Log): void {
  for (const found of report.findings) {
    if (failsRun[found.kind]) log.warn('sso_finding', { ...found });
    else log.info('sso_finding', { ...found });
  }
  for (const one of report.instances) logToken(one, log);
  log.info('sso_pass', {
    isConverged: report.isConverged,
    actions: report.applied.length,
    clusters: report.clusters?.length,
    stored: report.storedCount,
  });
}

function logToken({ instance, state, urgency, renewal, hasRevokedPrevious }: InstanceReport, log: Log): void {
  const subject = { instance: instance.name, tokenId: state.claims?.id };
  if (renewal !== undefined)
    log.record('iat_audit', { ...subject, action: 'renew', ...withoutFinding(renewal) });
  if (hasRevokedPrevious)
    log.record('iat_audit', { ...subject, action: 'revoke_previous', revokedId: state.revocableId });
  if (urgency !== 'fine')
    log.warn('iat_urgency', { ...subject, urgency, problem: state.problem, detail: state.detail });
}

function withoutFinding({ outcome, reason }: NonNullable<InstanceReport['renewal']>) {
  return { outcome, reason };
}

/** Every action is on record, whatever the log level: who has which client, and since when. */
export function auditActions(log: Log): (applied: AppliedAction) => void {
  return ({ action, outcome, findings }) => {
    log.record('sso_audit', {
      action: action.kind,
      clientId: action.id,
      outcome,
      ...(action.kind === 'remove' && { evidence: action.evidence }),
      ...('differences' in action && { fields: action.differences.map(({ field }) => field) }),
      ...(findings.length > 0 && { findings: findings.map(({ kind }) => kind) }),
    });
  };
}
