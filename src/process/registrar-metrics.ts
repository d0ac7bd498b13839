import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { AppliedAction } from '../register/apply.ts';
import type { PassReport } from '../register/reconcile.ts';
import type { InstanceReport } from '../register/tend-token.ts';

export interface RegistrarMetricsOptions {
  readonly registry: Registry;
  /** Value of the label `integration`, by which dashboards of old find us. */
  readonly integration: string;
  /** Value of the label `ocm_environment`. */
  readonly environment: string;
  /** Whom to turn to: alerts carry it. */
  readonly escalation: string;
  /** Where an instance's Initial Access Token is kept, by the instance's name: the label `path`. */
  readonly pathOf: (instance: string) => string;
}

export interface RegistrarMetrics {
  /** Replaces what earlier passes said: an instance, an organization that is gone leaves nothing behind. */
  readonly observePass: (report: PassReport, seconds: number, nowMs: number) => void;
  readonly observeAction: (applied: AppliedAction) => void;
  /** One request to an identity provider; `method` is ours, `verb` is HTTP's. */
  readonly observeRealmCall: (method: string, verb: string, seconds: number) => void;
}

const callBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const passBuckets = [0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600];

/** Metrics under the names that dashboards know (one with its misspelling), and those that they lacked. */
export function createRegistrarMetrics(options: RegistrarMetricsOptions): RegistrarMetrics {
  const registers = [options.registry];
  const common = { integration: options.integration, ocm_environment: options.environment };
  const labels = ['integration', 'ocm_environment'];
  const gauge = (name: string, help: string, ...own: readonly string[]) =>
    new Gauge({ name, help, labelNames: [...labels, ...own], registers });
  const counter = (name: string, help: string, ...own: readonly string[]) =>
    new Counter({ name, help, labelNames: [...labels, ...own], registers });

  const token = tokenMetrics(gauge);
  const stored = gauge('rhidp_sso_client_number_of_clients', 'How many SSO clients are stored.');
  const managed = gauge(
    'rhidp_managed_clusters',
    'Clusters that were discovered, disabled ones included.',
    'org_id',
  );
  const reconciled = counter('rhidp_sso_client_reconciled_total', 'Passes that converged.');
  const errors = counter('rhidp_sso_client_reconcile_errors_total', 'Passes that did not converge.');
  const blocked = gauge(
    'rhidp_sso_client_blocked_creates',
    'Clients that are wanted and can not be registered now.',
  );
  const unpersisted = counter(
    'rhidp_sso_client_token_persist_failures_total',
    'Registration access tokens that could not be stored after a change.',
  );
  const findings = gauge(
    'tiergate_registrar_findings',
    'What the last pass found that somebody should know.',
    'finding',
  );
  const finished = gauge('tiergate_registrar_last_pass_timestamp_seconds', 'When the last pass ended.');
  const converged = gauge(
    'tiergate_registrar_converged',
    'Whether the last pass left everything as wanted (1).',
  );
  const actions = counter(
    'tiergate_registrar_actions_total',
    'Actions by what came of them.',
    'action',
    'outcome',
  );
  const renewals = counter(
    'tiergate_registrar_iat_renewals_total',
    'Renewals of Initial Access Tokens.',
    'idp',
    'outcome',
  );
  const passes = new Histogram({
    name: 'tiergate_registrar_pass_duration_seconds',
    help: 'How long passes take.',
    labelNames: labels,
    buckets: passBuckets,
    registers,
  });
  const calls = new Counter({
    name: 'qontract_reconcile_external_api_keycloak_requests_total',
    help: 'Requests to identity providers.',
    labelNames: ['method', 'verb'],
    registers,
  });
  const callDurations = new Histogram({
    name: 'qontract_reconcile_external_api_keycloak_request_duration_seconds',
    help: 'Time until an identity provider answered, or was given up.',
    labelNames: ['method', 'verb'],
    buckets: callBuckets,
    registers,
  });
  // A rate over a series that begins with its first failure misses that failure.
  for (const each of [reconciled, errors, unpersisted]) each.inc(common, 0);

  return {
    observeAction: ({ action, outcome, findings: own }) => {
      actions.inc({ ...common, action: action.kind, outcome });
      const failures = own.filter(({ kind }) => kind === 'token_not_persisted').length;
      if (failures > 0) unpersisted.inc(common, failures);
    },

    observeRealmCall: (method, verb, seconds) => {
      calls.inc({ method, verb });
      callDurations.observe({ method, verb }, seconds);
    },

    observePass: (report, seconds, nowMs) => {
      (report.isConverged ? reconciled : errors).inc(common);
      passes.observe(common, seconds);
      finished.set(common, nowMs / 1000);
      converged.set(common, report.isConverged ? 1 : 0);
      if (report.storedCount !== undefined) stored.set(common, report.storedCount);
      if (report.clusters !== undefined) {
        managed.reset();
        for (const { organizationId } of report.clusters) managed.inc({ ...common, org_id: organizationId });
      }
      findings.reset();
      for (const { kind } of report.findings) findings.inc({ ...common, finding: kind });
      const creates = report.findings.filter(({ kind }) => kind === 'create_blocked').length;
      blocked.set(common, creates + report.applied.filter(isSkippedCreate).length);
      for (const { renewal, instance } of report.instances)
        if (renewal !== undefined) renewals.inc({ ...common, idp: instance.name, outcome: renewal.outcome });
      token.observe(report.instances, common, options);
    },
  };
}

function isSkippedCreate({ action, outcome }: AppliedAction): boolean {
  return action.kind === 'create' && outcome === 'skipped';
}

type MakeGauge = (name: string, help: string, ...labels: readonly string[]) => Gauge;

/** `path` is the label that dashboards know; whatever else is to be known of an instance is in `…_iat_info`. */
function tokenMetrics(gauge: MakeGauge) {
  const info = gauge(
    'rhidp_sso_client_iat_info',
    'Always 1: which instance a path belongs to, and whom to turn to.',
    'path',
    // Not `instance`: that is Prometheus' own, for whom it scraped.
    'idp',
    'environment',
    'escalation',
  );
  const expiration = gauge(
    'rhidp_sso_client_inital_access_token_expiration',
    'When the Initial Access Token expires, in Unix time; no series if it never does.',
    'path',
  );
  const remaining = gauge(
    'rhidp_sso_client_iat_remaining_clients',
    'How many clients can still be registered with the token: as the realm counts (admin) or as we do (ledger).',
    'path',
    'source',
  );
  const usable = gauge(
    'rhidp_sso_client_iat_usable',
    'Whether clients can be registered with the token (1).',
    'path',
  );
  const problem = gauge(
    'rhidp_sso_client_iat_problem',
    'Always 1: why the token is of no use.',
    'path',
    'problem',
  );
  const planned = gauge(
    'rhidp_sso_client_iat_planned_creates',
    'Clients that the last pass wanted to register.',
    'path',
  );

  return {
    observe(
      reports: readonly InstanceReport[],
      common: Readonly<Record<string, string>>,
      options: Pick<RegistrarMetricsOptions, 'escalation' | 'pathOf'>,
    ): void {
      for (const each of [info, expiration, remaining, usable, problem, planned]) each.reset();
      for (const { instance, state, plannedCreates } of reports) {
        const { name, environment } = instance;
        const labels = { ...common, path: options.pathOf(name) };
        info.set({ ...labels, idp: name, environment, escalation: options.escalation }, 1);
        usable.set(labels, state.problem === undefined ? 1 : 0);
        planned.set(labels, plannedCreates);
        if (state.problem !== undefined) problem.set({ ...labels, problem: state.problem }, 1);
        if (state.claims?.expiresAtMs !== undefined) expiration.set(labels, state.claims.expiresAtMs / 1000);
        if (state.remaining !== undefined)
          remaining.set({ ...labels, source: state.remainingSource ?? '' }, state.remaining);
      }
    },
  };
}
