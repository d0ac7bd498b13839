import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Explain } from '../check/explain.ts';
import { createAdjustRoutes } from '../console/adjust-routes.ts';
import { type ConsoleListener, createConsole, type Route } from '../console/console.ts';
import { createExplainRoute } from '../console/explain-route.ts';
import { createLiveRoute } from '../console/live.ts';
import { createOperators } from '../console/operator.ts';
import { readPageFiles } from '../console/page-files.ts';
import { createPolicyRoute } from '../console/policy-route.ts';
import { createRecentOutcomes, type RecentOutcomes } from '../console/recent-outcomes.ts';
import { createReadRegistrar } from '../console/registrar.ts';
import { createSeries, type Series } from '../console/series.ts';
import { createSessions } from '../console/sessions.ts';
import { createSimulateRoute } from '../console/simulate-route.ts';
import { isDependencyError } from '../dependency-error.ts';
import { createOpsServer, type ServerCertificate } from '../http/ops-server.ts';
import { createThrottle } from '../http/throttle.ts';
import { createAdjustUsage } from '../issue/adjust-usage.ts';
import { createReadUsage } from '../issue/usage.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { createReviewAccess } from '../kubernetes/subject-access-review.ts';
import type { Policy } from '../policy/policy.ts';
import type { Config } from '../process/config.ts';
import { isWildcard } from '../process/listen-address.ts';
import type { Metrics } from '../process/metrics.ts';
import { createReadMetric, type ReadMetric } from '../process/read-metric.ts';
import { workerNumber } from '../process/workers.ts';
import { type AuthorizerHealth, wordsOf } from './authorizer-health.ts';
import type { Counters } from './connect-counters.ts';
import { policyOptions } from './load-policy.ts';
import { isListenFault, listenWords, packageVersion, type ServerContext } from './run-server.ts';
import { createReviewCaller } from './token-api.ts';

/** What the console shows and changes. */
export interface ConsoleParts {
  readonly client: KubernetesClient;
  readonly policy: () => Policy;
  /** Where the document stands, in words, where it is not where the process file says. */
  readonly policySource?: string | undefined;
  readonly counters: Counters;
  readonly metrics: Metrics;
  readonly health: AuthorizerHealth;
  readonly explain: Explain;
}

export interface RunningConsole {
  /** Undefined where it is switched off, or could not listen. */
  readonly url: string | undefined;
  /** Given every outcome that leaves by a door. */
  readonly record: RecentOutcomes['record'];
}

/** One page asks once a second; so do its tests. */
const sampleEveryMs = 1_000;
/** Logins, and requests that bring a token, of one address a second. */
const tokensPerSecond = 10;
const session = { maxSessions: 100, idleMs: 15 * 60_000, lifetimeMs: 8 * 3_600_000 };
const usageTimeoutMs = 1_000;
/** An access token may come with the question of `explain`; a cluster token with any request. */
const maxHeaderBytes = 32 * 1024;
/** Certificates of a cluster are replaced long before their end. */
const renewEveryMs = 60_000;

/**
 * The operators' page. It is for people: where it can not listen, that is told, and what Envoy asks is answered all
 * the same.
 */
export async function startConsole(context: ServerContext, parts: ConsoleParts): Promise<RunningConsole> {
  const { config, lifecycle, events, log } = context;
  const { console: listener } = config.listeners;
  const { tls } = listener;
  const worker = workerNumber();
  // Sessions live in one process: of several, the first has the page, and shows what it answered itself.
  if (!listener.enabled || (worker ?? 1) > 1) return { url: undefined, record: () => undefined };

  const now = Date.now;
  const read = createReadMetric(parts.metrics.registry);
  const series = createSeries({ read, now });
  const outcomes = createRecentOutcomes({ random: Math.random, now });
  const routes = createRoutes(context, parts, { series, outcomes, read });
  const server = createOpsServer({
    host: listener.address.host,
    port: listener.address.port,
    maxHeaderBytes,
    ...(tls !== undefined && { tls: certificateFrom(tls) }),
    listener: createListener(context, parts, routes),
  });
  function renewCertificate(): void {
    if (tls === undefined) return;
    try {
      server.renewCertificate(certificateFrom(tls));
    } catch (error) {
      events.advice({ words: `the console's certificate can not be renewed: ${wordsOf(error)}` });
    }
  }

  try {
    const { host, port } = await lifecycle.start({
      name: 'console',
      start: async () => {
        const address = await server.start();
        const sampling = setInterval(() => {
          outcomes.tick();
          series.tick().catch((error: unknown) => log.error('sample_failed', { error }));
        }, sampleEveryMs).unref();
        const renewing = setInterval(renewCertificate, renewEveryMs).unref();
        return { ...address, sampling, renewing };
      },
      stop({ sampling, renewing }, signal) {
        clearInterval(sampling);
        clearInterval(renewing);
        return server.stop(signal);
      },
    });
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    events.listening({ listener: 'console', address });
    return { url: `${tls === undefined ? 'http' : 'https'}://${address}/`, record: outcomes.record };
  } catch (error) {
    if (!isListenFault(error)) throw error;
    events.advice({ words: `the console is not there: ${listenWords(error)}` });
    return { url: undefined, record: () => undefined };
  }
}

function createListener(
  { config, log }: ServerContext,
  { client }: ConsoleParts,
  routes: readonly Route[],
): ConsoleListener {
  const { instance, identity, issuer } = config;
  const { address, hosts, tls } = config.listeners.console;
  const reviewAccess = createReviewAccess({ client });
  const namespace = client.namespace ?? 'default';
  const { clusterAudience } = issuer;
  return createConsole({
    hosts: isWildcard(address.host) ? hosts : [...hosts, address.host],
    isTls: tls !== undefined,
    pages: readPageFiles(),
    operators: createOperators({
      instance,
      clusterAudience,
      review: createReviewCaller({ client, audience: identity.audience, clusterAudience }),
      authorize: ({ username: user, uid, groups, extra }, right) =>
        reviewAccess(
          { user, uid, groups, extra },
          {
            group: 'tiergate.dev',
            resource: 'console',
            verb: right === 'look' ? 'get' : 'update',
            namespace,
          },
        ),
      random: Math.random,
      now: Date.now,
    }),
    sessions: createSessions({
      ...session,
      newSecret: () => randomBytes(32).toString('base64url'),
      now: Date.now,
    }),
    routes,
    throttleTokens: createThrottle({ perSecond: tokensPerSecond, what: 'this address' }),
    about: {
      instance,
      version: packageVersion(),
      routes: routes.map(({ path }) => path),
      ...(workerNumber() !== undefined && { workers: config.workers }),
    },
    reportFault({ route, error }) {
      if (isDependencyError(error)) log.warn('dependency_fault', { listener: 'console', route, error });
      else log.error('server_fault', { listener: 'console', route, error });
    },
  });
}

interface Gathered {
  readonly series: Series;
  readonly outcomes: RecentOutcomes;
  readonly read: ReadMetric;
}

function createRoutes(
  { config, log }: ServerContext,
  { policy, policySource, counters, health, explain }: ConsoleParts,
  gathered: Gathered,
): readonly Route[] {
  const { registrar } = config.listeners.console;
  const now = Date.now;
  return [
    createLiveRoute({
      ...gathered,
      policy,
      readUsage: createReadUsage({ consume: counters.consume, timeoutMs: usageTimeoutMs, now }),
      report: health.report,
      readRegistrar: registrar === undefined ? undefined : createReadRegistrar(registrar),
      now,
    }),
    createExplainRoute(explain),
    createSimulateRoute(policyOptions(config)),
    createPolicyRoute({ policy, source: policySource ?? sourceWords(config) }),
    ...createAdjustRoutes({
      // Who may is the console's own question, asked before.
      adjustUsage: createAdjustUsage({ ...counters, policy, authorizeAdjustment: async () => true }),
      audit: (record) => log.record('token_audit', { ...record }),
      now,
    }),
  ];
}

function sourceWords({ policy: { source } }: Config): string {
  if (source.kind === 'file') return `file ${source.path}`;
  return `ConfigMap ${source.namespace === undefined ? '' : `${source.namespace}/`}${source.name}`;
}

function certificateFrom({ cert, key }: { readonly cert: string; readonly key: string }): ServerCertificate {
  return { cert: readFileSync(cert), key: readFileSync(key) };
}
