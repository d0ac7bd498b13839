import { randomUUID } from 'node:crypto';
import type { Check, CheckStages } from '../src/check/check.ts';
import { createLeases } from '../src/check/lease.ts';
import { createMemoryCounters } from '../src/check/memory-consume.ts';
import { createMemorySlots } from '../src/check/memory-slots.ts';
import { isDenied } from '../src/check/outcome.ts';
import { type CheckHandlerOptions, createCheckHandler } from '../src/envoy/check-handler.ts';
import { createReadCheckRequest } from '../src/envoy/check-request.ts';
import { createEncodeCheckResponse } from '../src/envoy/check-response.ts';
import type { KubernetesClient, KubernetesRequest } from '../src/kubernetes/client.ts';
import { parseConfig } from '../src/process/config.ts';
import { createDecisionLog } from '../src/process/decision-log.ts';
import { createLog } from '../src/process/log.ts';
import { createMetrics } from '../src/process/metrics.ts';
import { createTransportMetrics } from '../src/process/transport-metrics.ts';
import type { AuthorizerHealth } from '../src/programs/authorizer-health.ts';
import { parsePolicyText } from '../src/programs/load-policy.ts';
import { headersRead, wireCheck } from '../src/programs/wire-check.ts';
import { tiers } from './tiers.ts';

/**
 * The authorizer's own wiring without its systems: what the API server would say is made up at once from the token itself,
 * which nobody verifies, and blocks are leased from memory. For what can not be had from whole processes in reasonable time
 * (a million tokens), and for the cost of single stages.
 */
export interface InProcess {
  readonly check: Check;
  readonly stages: CheckStages;
  readonly codec: CheckHandlerOptions;
  readonly handler: ReturnType<typeof createCheckHandler>;
}

export function createInProcess(tokens: number): InProcess {
  // Somewhat more than there are, as an operator would give it (docs/scaling.md).
  const maxEntries = Math.ceil(tokens * 1.2);
  const config = parseConfig(
    JSON.stringify({
      identity: { ttl: '10m', maxEntries },
      access: { allowTtl: '10m' },
      reviews: { concurrency: 1000, perSecond: 100_000, perSourcePerSecond: 100_000, queue: 10_000 },
      limits: { store: 'memory' },
      check: { deadline: '10s' },
    }),
    { file: 'bench', folder: '.' },
  );
  const policyText = JSON.stringify(
    Object.entries(tiers).map(([name, limits], level) => ({
      name,
      level,
      groups: [`tier-${name}-users`],
      limits,
    })),
  );
  const policy = parsePolicyText('bench', policyText, config);
  const log = createLog({ level: 'info', write: () => undefined, now: Date.now });
  const metrics = createMetrics({ version: '0', now: Date.now, processMetrics: false });
  const counters = createMemoryCounters({ now: Date.now, maxSubjects: 2_000_000 });
  const leases = createLeases({
    consume: async (claim) => counters.consume(claim),
    takeBlock: async (claim) => counters.takeBlock(claim),
    settle: counters.settle,
    newId: randomUUID,
    now: Date.now,
    elapsed: () => performance.now(),
  });
  const { check, stages } = wireCheck({
    config,
    policy: () => policy,
    client: knowing,
    keys: undefined,
    accounts: {
      findPresence: () => 'present',
      lookUpPresence: () => Promise.resolve(true),
      findOwner: () => undefined,
      findGroups: () => [],
      isFollowed: () => true,
      settled: () => Promise.resolve(),
    },
    checkDenied: (principal) => principal,
    isRbacDown: () => false,
    counters: {
      ...counters,
      consume: leases.consume,
      settle: leases.settle,
      setBoost: () => Promise.resolve(),
      resetCounters: () => Promise.resolve(),
      slots: createMemorySlots({ now: Date.now, leaseMs: 60_000 }),
    },
    metrics,
    observeSlot: createTransportMetrics(metrics.registry).observeSlot,
    health: untold,
  });
  const logDecision = createDecisionLog({ mode: config.log.decisions, log, random: Math.random });
  const codec: CheckHandlerOptions = {
    readCheckRequest: createReadCheckRequest({
      headers: new Set([...headersRead(config), ...config.credential.headers]),
    }),
    check,
    encodeCheckResponse: createEncodeCheckResponse({
      credentialHeaders: config.credential.headers,
      realm: config.instance,
    }),
    recordOutcome(outcome, input, durationMs) {
      metrics.observeOutcome('grpc', outcome, durationMs / 1000);
      logDecision(outcome, input ?? { id: '', method: '' }, durationMs);
    },
    onError: (error) => {
      throw error;
    },
  };
  return { check, stages, codec, handler: createCheckHandler(codec) };
}

const untold: AuthorizerHealth = {
  isReady: () => true,
  stopping: () => undefined,
  report: () => ({ status: 'ready', parts: {} }) as never,
  ready: () => undefined,
  degraded: () => undefined,
  show: () => undefined,
};

/** Says yes to every review, of whom the token names. Parsed from text, as an answer is, so that answers share nothing. */
const knowing: KubernetesClient = {
  request: (request) => Promise.resolve({ status: 201, body: JSON.parse(answerTo(request)) as unknown }),
  stream: () => Promise.reject(new Error('nothing is watched here')),
  ownToken: () => Promise.resolve(undefined),
  namespace: undefined,
  close: () => undefined,
};

interface Claims {
  readonly sub: string;
  readonly jti: string;
  readonly 'kubernetes.io': { readonly namespace: string; readonly serviceaccount: { readonly uid: string } };
}

function answerTo({ path, body }: KubernetesRequest): string {
  if (!path.endsWith('tokenreviews')) return JSON.stringify({ status: { allowed: true } });
  const { token, audiences } = (
    body as { readonly spec: { readonly token: string; readonly audiences: readonly string[] } }
  ).spec;
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Claims;
  const { namespace, serviceaccount } = claims['kubernetes.io'];
  const user = {
    username: claims.sub,
    uid: serviceaccount.uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
    extra: { 'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`] },
  };
  return JSON.stringify({ status: { authenticated: true, user, audiences } });
}

/** Asks until it is allowed; throws at any other denial than of a spent budget. */
export async function ask({ codec, check }: InProcess, request: Buffer): Promise<void> {
  const input = codec.readCheckRequest(request, Number.POSITIVE_INFINITY);
  const outcome = isDenied(input) ? input : await check(input);
  if (outcome.denied) throw new Error(`${outcome.reason}: ${outcome.detail}`);
}
