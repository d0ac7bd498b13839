import type { Check } from '../check/check.ts';
import { createEnvoyServer, type EnvoyServer, type GrpcService } from '../envoy/server.ts';
import { warnAboutAudience } from '../kubernetes/audience-warning.ts';
import { createKubernetesClient, type KubernetesClient } from '../kubernetes/client.ts';
import type { FollowElsewhere } from '../kubernetes/relay-news.ts';
import { type Connection, loadConnection } from '../kubernetes/connection.ts';
import { createSignatureVerifier, type SignatureVerifier } from '../kubernetes/jwks.ts';
import type { Policy } from '../policy/policy.ts';
import { formatListenAddress } from '../process/listen-address.ts';
import { createMetrics, type Metrics } from '../process/metrics.ts';
import { createTokenMetrics } from '../process/token-metrics.ts';
import { createTransportMetrics } from '../process/transport-metrics.ts';
import { createUsageLog } from '../process/usage-log.ts';
import { startTracing, traceHeaders, type Tracing } from '../process/tracing.ts';
import { type AuthorizerHealth, createHealth, startOps, wordsOf } from './authorizer-health.ts';
import { connectCounters, type Counters } from './connect-counters.ts';
import { startPolicy } from './follow-policy.ts';
import { kubeconfigOf } from './load-policy.ts';
import { createPolicyInForce, type PolicySource } from './policy-in-force.ts';
import { createRecordOutcome, type RecordOutcome } from './record-outcome.ts';
import { startAccounts } from './start-accounts.ts';
import { startConsole } from './start-console.ts';
import { type RbacPart, startDeniedList, startRbac } from './start-protection.ts';
import { createHttpDoor } from './http-door.ts';
import { packageVersion, type ServerContext } from './run-server.ts';
import { headersRead, wireCheck } from './wire-check.ts';
import { wireTransport } from './wire-transport.ts';

/** What may come from elsewhere than the process file: the sandbox brings its own cluster and policy. */
export interface AuthorizerSources {
  readonly connection?: Connection;
  readonly policy?: Policy;
  /** Where this process is one of several: who watches for all, and who answers probes and scrapes for all. */
  readonly worker?: {
    readonly followElsewhere: FollowElsewhere;
    readonly startOps: (
      context: ServerContext,
      health: AuthorizerHealth,
      metrics: Metrics,
    ) => Promise<string>;
  };
  /** Milliseconds from NOT_SERVING to the end of calls; by default long enough for every Envoy to notice. */
  readonly drainDelayMs?: number;
}

export interface RunningAuthorizer {
  /** Of the operators' page; undefined where there is none. */
  readonly consoleUrl: string | undefined;
  /** Of the gRPC door, with the port that it got. */
  readonly grpcAddress: string;
  /** Of the HTTP door, where there is one. */
  readonly httpAddress: string | undefined;
  /** Empty where the primary answers probes and scrapes. */
  readonly opsUrl: string;
  readonly client: KubernetesClient;
  readonly counters: Counters;
  readonly policy: PolicySource;
}

const defaultDrainDelayMs = 5_000;
/** For calls under way; with the delay below what all parts together are given. */
const graceMs = 10_000;

/** Configuration → systems → ports → Check → the door. Serves once everything was there that it stands on. */
export async function startAuthorizer(
  context: ServerContext,
  sources: AuthorizerSources = {},
): Promise<RunningAuthorizer> {
  const { config, lifecycle, events } = context;
  const metrics = createMetrics({ version: packageVersion(), now: Date.now, processMetrics: true });
  metrics.trackDroppedLogLines(context.droppedLogLines);
  const health = createHealth(context, metrics);
  const opsUrl = await (sources.worker?.startOps ?? startOps)(context, health, metrics);

  const client = await lifecycle.start({
    name: 'kubernetes',
    start: async () =>
      createKubernetesClient({
        connection: sources.connection ?? (await loadConnection(kubeconfigOf(config))),
        timeoutMs: config.reviews.timeoutMs,
        followElsewhere: sources.worker?.followElsewhere,
      }),
    stop: (started) => started.close(),
  });
  const policy =
    sources.policy === undefined
      ? await startPolicy(context, { client, metrics, health, writesEvents: true })
      : createPolicyInForce(sources.policy, { events, metrics, health });
  const counters = await connectCounters({ config, lifecycle, health, metrics, events });
  const watches = { context, client, metrics, health };
  const accounts = await startAccounts(policy, watches);
  const tracing = await startTraces(context);
  const keys = config.credential.jwks ? createSignatureVerifier({ client }) : undefined;

  const transportMetrics = createTransportMetrics(metrics.registry);
  const tokenMetrics = createTokenMetrics({ registry: metrics.registry, byUser: config.metrics.users });
  const logUsage = config.log.usage ? createUsageLog(context.log) : undefined;
  const denied = await startDeniedList(watches);
  let rbac: RbacPart | undefined;
  const { check, explain, accessChanged } = wireCheck({
    config,
    policy: policy.current,
    client,
    keys,
    accounts,
    checkDenied: denied.checkDenied,
    isRbacDown: () => rbac?.isDown() === true,
    counters: tracedCounters(counters, tracing),
    metrics,
    observeSlot: transportMetrics.observeSlot,
    tracing,
    health,
  });
  rbac = await startRbac(watches, accessChanged);
  const transport = wireTransport({
    config,
    policy: policy.current,
    counters,
    metrics: transportMetrics,
    observeSettlement(...settlement) {
      tokenMetrics.observeSettlement(...settlement);
      logUsage?.(...settlement);
    },
    log: context.log,
  });
  const console = await startConsole(context, {
    client,
    policy: policy.current,
    policySource: sources.policy && 'what this program brings along',
    counters,
    metrics,
    health,
    explain,
  });
  const recordOutcome = createRecordOutcome({ context, metrics, tokenMetrics, console });
  const tracedCheck = tracing?.traced(check) ?? check;
  const server = createDoor(tracedCheck, transport.services, context, recordOutcome('grpc'));
  const httpDoor = createHttpDoor(tracedCheck, context, recordOutcome('http'));
  let hasServed = false;
  /** At the same time: the delay of one is not to come after that of the other. Nobody waits for whom no Envoy knows. */
  async function stopDoors(signal: AbortSignal): Promise<void> {
    health.stopping();
    const drainDelayMs = hasServed ? (sources.drainDelayMs ?? defaultDrainDelayMs) : 0;
    const how = { drainDelayMs, graceMs, signal };
    await Promise.all([server.stop(how), httpDoor?.stop(how)]);
  }
  const grpcAddress = await lifecycle.start({
    name: 'grpc',
    start: () => server.start(),
    async stop(_address, signal) {
      await stopDoors(signal);
      await transport.settle(signal);
    },
  });
  events.listening({ listener: 'grpc', address: grpcAddress });
  const httpAddress =
    httpDoor &&
    (await lifecycle.start({
      name: 'http',
      start: () => httpDoor.start(),
      stop: (_address, signal) => stopDoors(signal),
    }));
  if (httpAddress !== undefined) events.listening({ listener: 'http', address: httpAddress });

  const syncs = [accounts.settled(), denied.settled(), rbac.settled()];
  await Promise.all([...syncs, refreshKeys(keys, health), adviseAboutAudience(client, context)]);
  lifecycle.signal.throwIfAborted();
  server.setServing(true);
  hasServed = true;
  return { consoleUrl: console.url, grpcAddress, httpAddress, opsUrl, client, counters, policy };
}

function createDoor(
  check: Check,
  services: readonly GrpcService[],
  { config, log }: ServerContext,
  recordOutcome: RecordOutcome,
): EnvoyServer {
  const { address, socket, tls, transport } = config.listeners.grpc;
  return createEnvoyServer({
    address: formatListenAddress(address),
    socketAccess: socket,
    tls,
    transport,
    check,
    services,
    headers: [...headersRead(config), ...(config.tracing === undefined ? [] : traceHeaders)],
    credentialHeaders: config.credential.headers,
    realm: config.instance,
    recordOutcome,
    onError: (error, fault) => log.error('server_fault', { fault, error }),
  });
}

async function startTraces({ config, lifecycle }: ServerContext): Promise<Tracing | undefined> {
  const { tracing } = config;
  if (tracing === undefined) return undefined;
  return lifecycle.start({
    name: 'tracing',
    start: () => startTracing({ ...tracing, version: packageVersion() }),
    stop: (started) => started.stop(),
  });
}

function tracedCounters(counters: Counters, tracing: Tracing | undefined): Counters {
  if (tracing === undefined) return counters;
  return { ...counters, consume: (claim) => tracing.span('redis', () => counters.consume(claim)) };
}

async function refreshKeys(keys: SignatureVerifier | undefined, health: AuthorizerHealth): Promise<void> {
  await keys?.refresh();
  const fault = keys?.fault();
  if (fault === undefined) health.ready('keys');
  else health.degraded('keys', `signatures are left to the TokenReview: ${wordsOf(fault)}`);
}

async function adviseAboutAudience(
  client: KubernetesClient,
  { config, events }: ServerContext,
): Promise<void> {
  try {
    const words = await warnAboutAudience({ client, audience: config.identity.audience });
    if (words !== undefined) events.advice({ words });
  } catch (error) {
    events.advice({
      words: `whether the API server shares our audience could not be told: ${wordsOf(error)}`,
    });
  }
}
