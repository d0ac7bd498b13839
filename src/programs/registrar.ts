import { parseArgs } from 'node:util';
import { createOpsRoutes } from '../http/ops-routes.ts';
import { createOpsServer } from '../http/ops-server.ts';
import { createLog } from '../process/log.ts';
import { createMetrics, type Metrics } from '../process/metrics.ts';
import { createReadiness, type Readiness } from '../process/readiness.ts';
import type { RegistrarConfig } from '../process/registrar-config.ts';
import { createRegistrarMetrics, type RegistrarMetrics } from '../process/registrar-metrics.ts';
import type { PassFlags, PassReport } from '../register/reconcile.ts';
import { exitCode, type Program, type ProgramIo } from './program.ts';
import {
  connectKubernetes,
  loadRegistrarFile,
  type RegistrarFile,
  registrarOf,
} from './registrar-config-file.ts';
import { auditActions, startRegistrarLoop } from './registrar-loop.ts';
import { actionTimeoutMs, createRegistrarParts, tokenPathOf } from './registrar-parts.ts';
import { reportLines } from './registrar-report.ts';
import { exitCodeOf, packageVersion, runServer, type ServerContext } from './run-server.ts';

const usage = `usage: tiergate registrar [options]

Keeps SSO profiles as they are wanted, and the Initial Access Tokens that they need alive.

  --config FILE         the process file; default CONFIG_FILE
  --once                one pass, printed; exit code 1 if not everything is as wanted afterwards
  --dry-run             one pass that prints what it would do and changes nothing
  --allow-mass-delete   with --once or --dry-run: no cap on removals`;

const options = {
  config: { type: 'string' },
  once: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  'allow-mass-delete': { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

/** `tiergate registrar`: a loop until a signal ends it, or one pass. */
export const registrar: Program = async (args, io) => {
  try {
    const { values } = parseArgs({ args: [...args], options });
    if (values.help === true) {
      io.out(usage);
      return exitCode.done;
    }
    const isDryRun = values['dry-run'] === true;
    const allowMassDelete = values['allow-mass-delete'] === true;
    if (values.once === true || isDryRun)
      return await runOnce(loadRegistrarFile(values.config, io), io, { dryRun: isDryRun, allowMassDelete });
    if (allowMassDelete) {
      // Said once at the start it would lift the guard for as long as the process lives.
      io.err('--allow-mass-delete goes with --once: it lifts the cap for one pass');
      return exitCode.usage;
    }
    const server = { name: 'registrar', start: startRegistrar, stopTimeoutMs: actionTimeoutMs + 10_000 };
    return await runServer(server, values.config === undefined ? [] : ['--config', values.config], io);
  } catch (error) {
    return exitCodeOf(error, io);
  }
};

/** One pass for a person: what it did (or would do) line by line. 1: not everything is as wanted. */
export async function runOnce(
  { config, registrar: section }: RegistrarFile,
  io: ProgramIo,
  flags: PassFlags,
): Promise<number> {
  const { reconcile } = await createRegistrarParts({
    config: section,
    kubernetes: () => connectKubernetes(config),
    warn: (words) => io.err(`warning: ${words}`),
    // On record like those of the loop; standard output is the person's.
    onApplied: auditActions(
      createLog({ level: 'info', write: (line) => io.err(line.trimEnd()), now: Date.now }),
    ),
    onRealmCall: () => undefined,
  });
  const report = await reconcile(flags, new AbortController().signal);
  for (const line of reportLines(report, flags.dryRun)) io.out(line);
  return report.isConverged ? exitCode.done : exitCode.failed;
}

type RegistrarPart = 'firstPass' | 'clusters' | 'store' | 'tokens';

type Health = Readiness<RegistrarPart>;

/** Configuration → systems → ports → passes, with probes and metrics beside them. */
async function startRegistrar(context: ServerContext): Promise<void> {
  const { config, lifecycle, log, events } = context;
  const section = registrarOf(config, 'the process file');
  const metrics = createMetrics({ version: packageVersion(), now: Date.now, processMetrics: true });
  metrics.trackDroppedLogLines(context.droppedLogLines);
  const registrarMetrics = createOwnMetrics(section, metrics);
  const health = createHealth(context, metrics);
  await startOps(context, section, { health, metrics });
  const audit = auditActions(log);
  const { reconcile } = await createRegistrarParts({
    config: section,
    kubernetes: () =>
      lifecycle.start({
        name: 'kubernetes',
        start: () => connectKubernetes(config),
        stop: (client) => client.close(),
      }),
    warn: (words) => events.advice({ words }),
    onApplied: (applied) => {
      audit(applied);
      registrarMetrics.observeAction(applied);
    },
    onRealmCall: ({ name, method }, _status, durationMs) =>
      registrarMetrics.observeRealmCall(name, method, durationMs / 1000),
  });
  await lifecycle.start({
    name: 'passes',
    start: () =>
      startRegistrarLoop({
        reconcile,
        intervalMs: section.intervalMs,
        metrics: registrarMetrics,
        log,
        onPass: (report) => tellHealth(report, health),
      }),
    stop: (loop) => {
      health.stopping();
      return loop.stop();
    },
  });
}

/** Probes and metrics, on a port of their own. */
async function startOps(
  { lifecycle, log, events }: ServerContext,
  { listeners }: RegistrarConfig,
  { health, metrics }: { readonly health: Health; readonly metrics: Metrics },
): Promise<void> {
  const server = createOpsServer({
    ...listeners.ops.address,
    listener: createOpsRoutes({
      readiness: () => ({ isReady: health.isReady(), report: health.report() }),
      metrics: async () => ({ contentType: metrics.contentType, text: await metrics.text() }),
      onError: (error) => log.error('metrics_failed', { error }),
    }),
  });
  const { host, port } = await lifecycle.start({
    name: 'ops',
    start: () => server.start(),
    stop: (_address, signal) => server.stop(signal),
  });
  events.listening({ listener: 'ops', address: `${host}:${port}` });
}

function createOwnMetrics(section: RegistrarConfig, { registry }: Metrics): RegistrarMetrics {
  const paths = new Map(section.instances.map((instance) => [instance.name, tokenPathOf(instance)]));
  return createRegistrarMetrics({
    registry,
    integration: section.integration,
    environment: section.environment,
    escalation: section.escalation,
    pathOf: (name) => paths.get(name) ?? name,
  });
}

/** Ready after the first pass, whatever it found: a token that ran out is no reason to restart anything. */
function createHealth({ events }: ServerContext, metrics: Metrics): Health {
  return createReadiness<RegistrarPart>({
    gating: ['firstPass'],
    others: ['clusters', 'store', 'tokens'],
    onPart: (part, state) => {
      metrics.setDegraded(part, state.state === 'degraded');
      if (state.state === 'degraded') events.degraded({ part, detail: state.detail });
      else events.recovered({ part });
    },
    onStatus: (status) => {
      metrics.setReady(status === 'ready');
      if (status === 'ready') events.ready();
    },
  });
}

function tellHealth(report: PassReport, health: Health): void {
  const stopped = report.instances.filter(({ urgency }) => urgency === 'stopped');
  const tell = (part: RegistrarPart, fault: string | undefined): void =>
    fault === undefined ? health.ready(part) : health.degraded(part, fault);
  health.ready('firstPass');
  tell('clusters', report.clusters === undefined ? 'the clusters could not be discovered' : undefined);
  tell('store', report.storedCount === undefined ? 'the stored clients could not be read' : undefined);
  tell(
    'tokens',
    stopped.length === 0
      ? undefined
      : stopped.map(({ instance, state }) => `${instance.name}: ${state.problem}`).join(', '),
  );
}
