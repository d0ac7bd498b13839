import { describeAction } from '../register/action.ts';
import type { PassReport } from '../register/reconcile.ts';
import type { InstanceReport } from '../register/tend-token.ts';

/** A pass for a person: what was or would be done, what was found, how the tokens are. No secrets. */
export function reportLines(report: PassReport, isDryRun: boolean): readonly string[] {
  const actions = isDryRun
    ? (report.plan?.actions ?? []).map((action) => `would ${describeAction(action)}`)
    : report.applied.map(({ action, outcome }) => `${outcome.padEnd(7)} ${describeAction(action)}`);
  const findings = report.findings.map(({ kind, subject, detail }) => `${kind}: ${subject}: ${detail}`);
  return [
    ...actions,
    ...findings,
    ...report.instances.flatMap((one) => tokenLines(one, isDryRun)),
    summary(report),
  ];
}

function tokenLines(report: InstanceReport, isDryRun: boolean): readonly string[] {
  const { instance, urgency, renewal, renewalDue, state } = report;
  const why = state.detail === undefined ? '' : `: ${state.detail}`;
  const lines = [`token of ${instance.name}: ${urgency}${why}`];
  if (renewal !== undefined)
    lines.push(`token of ${instance.name}: ${renewal.outcome}, because ${renewal.reason}`);
  else if (renewalDue !== undefined && isDryRun)
    lines.push(`token of ${instance.name}: would be renewed, because ${renewalDue}`);
  if (report.hasRevokedPrevious) lines.push(`token of ${instance.name}: the previous one is revoked`);
  return lines;
}

function summary({ plan, storedCount, clusters, isConverged }: PassReport): string {
  const actions = plan === undefined ? 'no plan' : `${plan.actions.length} actions planned`;
  const stored = storedCount === undefined ? 'the store could not tell' : `${storedCount} clients stored`;
  const found = clusters === undefined ? 'clusters not discovered' : `${clusters.length} clusters discovered`;
  return `${actions}; ${found}; ${stored}; ${isConverged ? 'all is as wanted, or will be' : 'not all is as wanted'}`;
}
