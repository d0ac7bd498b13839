import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import { createMemorySlots } from '../../src/check/memory-slots.ts';
import type { Outcome } from '../../src/check/outcome.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { createCheckHandler } from '../../src/envoy/check-handler.ts';
import { createReadCheckRequest } from '../../src/envoy/check-request.ts';
import { createEncodeCheckResponse } from '../../src/envoy/check-response.ts';
import type { KubernetesAnswer, KubernetesClient, KubernetesRequest } from '../../src/kubernetes/client.ts';
import { createSignatureVerifier } from '../../src/kubernetes/jwks.ts';
import { parsePolicyFile } from '../../src/policy/parse-policy.ts';
import { parseConfig } from '../../src/process/config.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import { createReadiness } from '../../src/process/readiness.ts';
import type { Accounts } from '../../src/programs/start-accounts.ts';
import { headersRead, wireCheck } from '../../src/programs/wire-check.ts';

/** Of a token: who is behind it, or why it is good for nothing. */
export interface Person {
  readonly token: string;
  /** What its counters are kept under; absent: the token passes nowhere. */
  readonly subject?: string;
  readonly tier?: string;
  readonly models?: readonly string[];
  /** Requests in an hour; absent: more than a run makes. */
  readonly limit?: number;
}

/** The one place that says who may what: the cluster answers by it, and the oracle judges by it. */
export interface FuzzCluster {
  readonly people: readonly Person[];
  /** Answers reviews as an API server would. */
  readonly client: KubernetesClient;
}

const instance = 'gw';
const audience = `${instance}-sa`;
const issuer = 'https://issuer.example';
const kid = 'k1';

export const everyModel = ['llm/llama', 'llm/qwen-large', 'other/m.v1', 'a-b/c0'] as const;

/** A model about which the API server can not tell. */
export const faultyModel = 'llm/faulty';

interface Account {
  readonly namespace: string;
  readonly name: string;
  /** What to make of the token; none is a good one. */
  readonly flaw?: 'expired' | 'audience' | 'issuer' | 'forged' | 'unreviewed' | 'faulty' | 'gone' | 'denied';
  readonly tier?: string;
  readonly models?: readonly string[];
  readonly limit?: number;
  /** In no group of a tier. */
  readonly isAlone?: boolean;
}

const premium = { namespace: 'gw-tier-premium', tier: 'premium', models: everyModel } as const;

const accounts: readonly Account[] = [
  { ...premium, name: 'alice' },
  { namespace: 'gw-tier-free', name: 'bob', tier: 'free', models: ['llm/llama'] },
  { namespace: 'gw-tier-tiny', name: 'tim', tier: 'tiny', models: ['llm/llama'], limit: 5 },
  { namespace: 'apps', name: 'nobody', isAlone: true },
  { ...premium, name: 'expired', flaw: 'expired' },
  { ...premium, name: 'audience', flaw: 'audience' },
  { ...premium, name: 'issuer', flaw: 'issuer' },
  { ...premium, name: 'forged', flaw: 'forged' },
  { ...premium, name: 'unreviewed', flaw: 'unreviewed' },
  { ...premium, name: 'faulty', flaw: 'faulty' },
  { ...premium, name: 'gone', flaw: 'gone' },
  { ...premium, name: 'denied', flaw: 'denied' },
];

const policyText = `
- {name: free, groups: [free-users], limits: {requests: [{limit: 1000000, window: 1d}]}}
- {name: tiny, level: 1, groups: [tiny-users], limits: {requests: [{limit: 5, window: 1h}]}}
- {name: premium, level: 2, groups: [premium-users], limits: unlimited}
`;

export async function createFuzzCluster(): Promise<FuzzCluster> {
  const real = await generateKeyPair('ES256', { extractable: true });
  const forged = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(real.publicKey)), kid, alg: 'ES256', use: 'sig' };
  const accountByToken = new Map<string, Account>();
  for (const account of accounts) {
    const { flaw, namespace, name } = account;
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: flaw === 'issuer' ? 'https://elsewhere.example' : issuer,
      aud: [flaw === 'audience' ? 'somebody-else' : audience],
      iat: now - 7200,
      exp: flaw === 'expired' ? now - 3600 : now + 86_400,
      sub: `system:serviceaccount:${namespace}:${name}`,
      'kubernetes.io': { namespace, serviceaccount: { name, uid: `uid-${name}` } },
    };
    const key = flaw === 'forged' ? forged.privateKey : real.privateKey;
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid }).sign(key);
    accountByToken.set(token, account);
  }

  const review: Readonly<Record<string, (body: ReviewBody) => object>> = {
    tokenreviews({ spec }) {
      const account = accountByToken.get(spec.token ?? '');
      if (account?.flaw === 'faulty') throw new DependencyError('kubernetes', 'failed', {});
      // Another issuer's is turned away without a question, once it is known who issues here.
      const isUnknown = account?.flaw === 'unreviewed' || account?.flaw === 'issuer';
      if (account === undefined || isUnknown) return { authenticated: false };
      const { namespace, name } = account;
      return {
        authenticated: true,
        audiences: spec.audiences,
        user: {
          username: `system:serviceaccount:${namespace}:${name}`,
          uid: `uid-${name}`,
          // In a lower tier's group as well, which must not count.
          groups: [
            ...(account.isAlone === true ? [] : ['free-users']),
            'system:serviceaccounts',
            `system:serviceaccounts:${namespace}`,
            'system:authenticated',
          ],
        },
      };
    },
    subjectaccessreviews({ spec }) {
      const { namespace, name } = spec.resourceAttributes ?? {};
      const model = `${namespace}/${name}`;
      if (model === faultyModel) throw new DependencyError('kubernetes', 'timeout', {});
      const account = accounts.find(
        (one) => spec.user === `system:serviceaccount:${one.namespace}:${one.name}`,
      );
      return { allowed: account?.models?.includes(model) === true };
    },
  };
  const documents: Readonly<Record<string, object>> = {
    '/openid/v1/jwks': { keys: [jwk] },
    '/.well-known/openid-configuration': { issuer },
  };

  return {
    people: [...accountByToken].map(([token, account]) => personOf(token, account)),
    client: {
      async request({ path, body }: KubernetesRequest): Promise<KubernetesAnswer> {
        const document = documents[path];
        if (document !== undefined) return { status: 200, body: document };
        const status = review[path.split('/').at(-1) ?? '']?.(body as ReviewBody);
        return { status: 201, body: { status } };
      },
      stream: () => Promise.reject(new Error('no watches here')),
      ownToken: () => Promise.resolve(undefined),
      namespace: 'tiergate',
      close: () => undefined,
    },
  };
}

interface ReviewBody {
  readonly spec: {
    readonly token?: string;
    readonly audiences?: readonly string[];
    readonly user?: string;
    readonly resourceAttributes?: { readonly namespace?: string; readonly name?: string };
  };
}

function personOf(token: string, { name, flaw, tier, models, limit }: Account): Person {
  if (flaw !== undefined || tier === undefined) return { token };
  return {
    token,
    subject: `${name}@example.com`,
    tier,
    ...(models !== undefined && { models }),
    ...(limit !== undefined && { limit }),
  };
}

/** How the model is found, what is public and which headers carry tokens: the `model` and `credential` sections. */
export interface DoorOptions {
  readonly from: 'path' | 'context' | 'metadata' | 'header';
  readonly header?: string;
  readonly credentialHeaders: readonly string[];
  readonly public: readonly string[];
  readonly identityOnly: readonly string[];
  readonly cors: boolean;
}

export interface Answered {
  /** A CheckResponse. */
  readonly response: Buffer;
  readonly outcome: Outcome;
}

export interface Door extends DoorOptions {
  /** A CheckRequest through the whole Check. Throws or rejects with what was told as a bug. */
  readonly ask: (request: Buffer, deadlineAtMs: number) => Answered | Promise<Answered>;
}

/** What is not that of the fuzz world. */
export interface OtherParts {
  readonly policyText?: string;
  readonly accounts?: Accounts;
}

/** Check, and Explain beside it, wired as they are shipped; counters in memory. */
export function createAuthorizer(
  cluster: Pick<FuzzCluster, 'client'>,
  options: DoorOptions,
  other: OtherParts = {},
) {
  const { from, header, cors, credentialHeaders } = options;
  const config = parseConfig(
    JSON.stringify({
      instance,
      limits: { store: 'memory' },
      credential: { headers: credentialHeaders },
      model: {
        from,
        cors,
        public: options.public,
        identityOnly: options.identityOnly,
        ...(header !== undefined && { header }),
      },
      // Far above what a run asks: what a budget refuses is no matter of these tests.
      reviews: { concurrency: 10_000, perSecond: 100_000, perSourcePerSecond: 100_000, queue: 1_000_000 },
      check: { deadline: '10s' },
      identity: { maxEntries: 1_000 },
    }),
    { file: 'fuzz', folder: '.' },
  );
  const parsed = parsePolicyFile(other.policyText ?? policyText, { ...config.policy, instance });
  if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
  const health = createReadiness<never>({ gating: [], others: [] });
  const { check, explain } = wireCheck({
    config,
    policy: () => parsed.policy,
    client: cluster.client,
    keys: createSignatureVerifier({ client: cluster.client }),
    accounts: other.accounts ?? {
      findPresence: ({ serviceAccount: { name } }) => (name === 'gone' ? 'absent' : 'present'),
      lookUpPresence: () => Promise.resolve(false),
      findOwner: ({ name }) => `${name}@example.com`,
      findGroups: () => [],
      isFollowed: () => true,
      settled: () => Promise.resolve(),
    },
    checkDenied: (principal, subject) =>
      subject === 'denied@example.com'
        ? { denied: true, reason: 'token_revoked', detail: 'Access was withdrawn.' }
        : principal,
    isRbacDown: () => false,
    counters: {
      ...createMemoryCounters({ now: Date.now }),
      slots: createMemorySlots({ now: Date.now, leaseMs: 60_000 }),
    },
    observeSlot: () => undefined,
    metrics: createMetrics({ version: '0', now: Date.now, processMetrics: false }),
    health: { ...health, show: () => undefined, ready: () => undefined, degraded: () => undefined },
  });
  return { config, check, explain };
}

/** The authorizer from the bytes of a CheckRequest to those of a CheckResponse, as it is wired when it is shipped. */
export function createDoor(cluster: FuzzCluster, options: DoorOptions): Door {
  const { credentialHeaders } = options;
  const { config, check } = createAuthorizer(cluster, options);
  let recorded: Outcome | undefined;
  let bug: unknown;
  const handler = createCheckHandler({
    readCheckRequest: createReadCheckRequest({
      headers: new Set([...headersRead(config), ...credentialHeaders]),
    }),
    check,
    encodeCheckResponse: createEncodeCheckResponse({ credentialHeaders, realm: instance }),
    recordOutcome(outcome) {
      recorded = outcome;
    },
    onError(error) {
      bug = error;
    },
  });

  function take(response: Buffer | null | undefined): Answered {
    if (bug !== undefined || recorded === undefined || !response) throw bug ?? new Error('no answer');
    return { response, outcome: recorded };
  }

  return {
    ...options,
    ask(request, deadlineAtMs) {
      bug = undefined;
      recorded = undefined;
      let response: Buffer | null | undefined;
      let isLate = false;
      let resolve: (answered: Answered | Promise<Answered>) => void = () => undefined;
      handler(request, deadlineAtMs, (given) => {
        response = given;
        // Record and report of a bug come right after the answer.
        if (isLate) queueMicrotask(() => resolve(Promise.resolve().then(() => take(given))));
      });
      if (response !== undefined) return take(response);
      isLate = true;
      return new Promise((settle) => {
        resolve = settle;
      });
    },
  };
}
