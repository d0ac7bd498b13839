import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

import { isDependencyError } from '../dependency-error.ts';
import { createIssuerServer } from '../http/issuer-server.ts';
import type { ListServedModels } from '../issue/models.ts';
import { createSweep } from '../issue/sweep.ts';
import { startSweeper } from '../issue/sweeper.ts';
import { createKubernetesClient, type KubernetesClient } from '../kubernetes/client.ts';
import { type Connection, loadConnection } from '../kubernetes/connection.ts';
import { createLease } from '../kubernetes/lease.ts';
import { createServiceAccounts } from '../kubernetes/service-account.ts';
import { createListTierNamespaces } from '../kubernetes/tier-namespace.ts';
import { createTokenSecrets } from '../kubernetes/token-secret.ts';
import type { Policy } from '../policy/policy.ts';
import { createIssuerMetrics, type IssuerMetrics } from '../process/issuer-metrics.ts';
import { createMetrics, type Metrics } from '../process/metrics.ts';
import { createReadiness, type Readiness } from '../process/readiness.ts';
import { type AuthorizerPart, startOps } from './authorizer-health.ts';
import { connectCounters, type Counters } from './connect-counters.ts';
import { startPolicy } from './follow-policy.ts';
import { kubeconfigOf } from './load-policy.ts';
import { preflight } from './preflight.ts';
import type { Program } from './program.ts';
import { packageVersion, runServer, type ServerContext } from './run-server.ts';
import { startModels } from './start-models.ts';
import { createTokenApi } from './token-api.ts';

/** `tiergate issuer`: the token API. */
export const issuer: Program = (args, io) =>
  runServer(
    {
      name: 'issuer',
      preflight: (config) => preflight(config),
      stopTimeoutMs,
      start: async (context) => void (await startIssuer(context)),
    },
    args,
    io,
  );

/** What may come from elsewhere than the process file: the sandbox brings its own cluster, policy and counters. */
export interface IssuerSources {
  readonly connection?: Connection;
  readonly policy?: () => Policy;
  readonly counters?: Counters;
  readonly listServedModels?: ListServedModels;
}

export interface RunningIssuer {
  /** `http://host:port`, with the port that it got. */
  readonly url: string;
  readonly opsUrl: string;
}

type IssuerPart = AuthorizerPart | 'models' | 'http';

type IssuerHealth = Readiness<IssuerPart>;

export const stopTimeoutMs = 20_000;
/** What is swept is of no use to anybody and does no harm: each pass lists everything, so there are few. */
const sweepIntervalMs = 120_000;
/** The leader says so twice before others may take over. */
const leaseSeconds = 300;
/** A gateway that is not trusted is one source for all behind it. */
const perSourcePerSecond = 200;
const perUserPerSecond = 20;

/** Configuration → systems → ports → the HTTP server. Serves once the policy is there. */
export async function startIssuer(
  context: ServerContext,
  sources: IssuerSources = {},
): Promise<RunningIssuer> {
  const { config, lifecycle, events } = context;
  const metrics = createMetrics({ version: packageVersion(), now: Date.now, processMetrics: true });
  const issuerMetrics = createIssuerMetrics(metrics.registry);
  metrics.trackDroppedLogLines(context.droppedLogLines);
  const health = createIssuerHealth(context, metrics);
  const { listeners } = config.issuer;
  const opsContext = {
    ...context,
    config: { ...config, listeners: { ...config.listeners, ops: listeners.ops } },
  };
  const opsUrl = await startOps(opsContext, health, metrics);

  const client = await lifecycle.start({
    name: 'kubernetes',
    start: async () =>
      createKubernetesClient({
        connection: sources.connection ?? (await loadConnection(kubeconfigOf(config))),
        timeoutMs: config.reviews.timeoutMs,
      }),
    stop: (started) => started.close(),
  });
  const policy =
    sources.policy ?? (await startPolicy(context, { client, metrics, health, writesEvents: false })).current;
  const counters =
    sources.counters ?? (await connectCounters({ config, lifecycle, health, metrics, events }));
  const listServedModels =
    sources.listServedModels ?? (await startModels(context, { client, metrics, health }));
  await startSweeping(context, client, issuerMetrics);

  const server = createServer(context, {
    client,
    policy,
    counters,
    listServedModels,
    metrics: issuerMetrics,
  });
  const { host, port } = await lifecycle.start({
    name: 'http',
    start: () => server.listen(listeners.http.address),
    stop(_address, signal) {
      health.stopping();
      return server.close(signal);
    },
  });
  events.listening({ listener: 'issuer', address: `${host}:${port}` });
  if (sources.policy !== undefined) health.ready('policy');
  health.ready('http');
  return { url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`, opsUrl };
}

interface ServerParts {
  readonly client: KubernetesClient;
  readonly policy: () => Policy;
  readonly counters: Counters;
  readonly listServedModels: ListServedModels;
  readonly metrics: IssuerMetrics;
}

function createServer({ config, log }: ServerContext, { metrics, counters, ...parts }: ServerParts) {
  const { instance, identity, access } = config;
  const api = createTokenApi({
    ...parts,
    ...counters,
    instance,
    audience: identity.audience,
    clusterAudience: config.issuer.clusterAudience,
    namespace: ownNamespace(parts.client),
    access,
    reviews: config.reviews,
    maxTokensPerUser: config.issuer.maxTokensPerUser,
    serviceAccountNamespaces: config.issuer.mint.serviceAccounts,
    createNamespaces: config.issuer.createNamespaces,
    audit(record) {
      metrics.observeAction(record.action, record.outcome);
      log.record('token_audit', { ...record });
    },
    now: Date.now,
  });
  return createIssuerServer({
    ...api,
    trustedProxies: config.issuer.trustedProxies,
    perSourcePerSecond,
    perUserPerSecond,
    reportFault({ error, ...where }) {
      if (isDependencyError(error)) log.warn('dependency_fault', { ...where, error });
      else log.error('server_fault', { ...where, error });
    },
    observeRequest: metrics.observeRequest,
  });
}

function createIssuerHealth({ events }: ServerContext, metrics: Metrics): IssuerHealth {
  return createReadiness<IssuerPart>({
    gating: ['policy', 'http'],
    others: ['redis', 'models'],
    onPart(part, state) {
      metrics.setDegraded(part, state.state === 'degraded');
      if (state.state === 'degraded') events.degraded({ part, detail: state.detail });
      else events.recovered({ part });
    },
    onStatus(status) {
      metrics.setReady(status === 'ready');
      if (status === 'ready') events.ready();
    },
  });
}

/** One replica sweeps: the one that holds the Lease. */
async function startSweeping(
  { config, lifecycle, log }: ServerContext,
  client: KubernetesClient,
  metrics: IssuerMetrics,
): Promise<void> {
  const { instance } = config;
  const lease = createLease({
    client,
    namespace: ownNamespace(client),
    name: 'tiergate-issuer',
    identity: `${hostname()}-${randomUUID()}`,
    durationSeconds: leaseSeconds,
    now: Date.now,
  });
  await lifecycle.start({
    name: 'sweeper',
    start: () =>
      startSweeper({
        async holdLease() {
          const isLeader = await lease.hold().catch((error: unknown) => {
            metrics.setLeader(false);
            throw error;
          });
          metrics.setLeader(isLeader);
          return isLeader;
        },
        sweep: createSweep({
          listTierNamespaces: createListTierNamespaces(client, instance),
          ...createServiceAccounts(client, instance),
          ...createTokenSecrets(client),
          now: Date.now,
        }),
        intervalMs: sweepIntervalMs,
        reportSwept(swept) {
          metrics.observeSwept(swept);
          if (Object.values(swept).some((count) => count > 0)) log.info('swept', { ...swept });
        },
        reportFault: (error) => log.warn('sweep_failed', { error }),
      }),
    async stop(sweeper) {
      await sweeper.stop();
      await lease.release();
    },
  });
}

/** A context without a namespace means `default`, as it does to kubectl. */
function ownNamespace({ namespace }: KubernetesClient): string {
  return namespace ?? 'default';
}
