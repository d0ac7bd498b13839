import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import { createIssuerServer, type IssuerServerOptions } from '../../src/http/issuer-server.ts';
import type { AuditRecord } from '../../src/issue/audit.ts';
import type { ServedModel } from '../../src/issue/models.ts';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { parsePolicyFile } from '../../src/policy/parse-policy.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { createTokenApi, type TokenApiOptions } from '../../src/programs/token-api.ts';
import { createSecret } from '../../src/secret.ts';
import type { KubeClient } from '../real/kube-client.ts';
import { createApiCaller } from '../sandbox/api-caller.ts';

export const instance = 'maas-default-gateway';
export const audience = `${instance}-sa`;
const clusterAudience = 'https://kubernetes.default.svc';
export const issuerNamespace = 'tiergate';

/** An API server, real or embedded. */
export interface ApiServer {
  readonly url: string;
  readonly caPem?: string;
  /** Of a member of `system:masters`. */
  readonly adminToken: string;
}

const document = `
- name: free
  level: 0
  groups: [tier-free-users, system:authenticated]
  limits: {requests: [{limit: 5, window: 2m}]}
- name: premium
  level: 1
  groups: [tier-premium-users]
  limits: {requests: [{limit: 20, window: 2m}]}
  maxTokenLifetime: 24h
- name: enterprise
  level: 2
  groups: [tier-enterprise-users]
  limits: {requests: [{limit: 50, window: 2m}]}
`;

export function testPolicy(text: string = document): Policy {
  const parsed = parsePolicyFile(text, { instance, defaultLimits: 'unlimited', defaultTier: undefined });
  if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
  return parsed.policy;
}

export interface IssuerWorld {
  readonly url: string;
  readonly audits: readonly AuditRecord[];
  readonly faults: readonly unknown[];
  readonly close: () => Promise<void>;
}

export interface IssuerWorldOptions {
  readonly api: Partial<TokenApiOptions>;
  readonly server: Partial<IssuerServerOptions>;
  readonly models: readonly ServedModel[];
  /** Where the issuer finds the API server, if not at its own port. */
  readonly kubernetesUrl: string;
  /** Stands between the issuer and its client. */
  readonly through: (client: KubernetesClient) => KubernetesClient;
}

/** The token API in this process, in front of an API server, as the user of `token`. */
export async function startIssuer(
  kube: Omit<ApiServer, 'adminToken'>,
  token: string,
  more: Partial<IssuerWorldOptions> = {},
): Promise<IssuerWorld> {
  const audits: AuditRecord[] = [];
  const faults: unknown[] = [];
  const plainClient = createKubernetesClient({
    connection: createFixedConnection({
      server: more.kubernetesUrl ?? kube.url,
      ...(kube.caPem !== undefined && { caPem: kube.caPem }),
      token: createSecret(token),
    }),
    timeoutMs: 5_000,
  });
  const client = more.through?.(plainClient) ?? plainClient;
  const api = createTokenApi({
    client,
    instance,
    audience,
    clusterAudience,
    namespace: issuerNamespace,
    policy: () => testPolicy(),
    ...createMemoryCounters({ now: Date.now }),
    listServedModels: () => more.models ?? [],
    access: { group: 'serving.kserve.io', resource: 'llminferenceservices', verb: 'post' },
    reviews: { concurrency: 64, perSecond: 500, queue: 1000, timeoutMs: 2_000 },
    maxTokensPerUser: 50,
    serviceAccountNamespaces: [],
    createNamespaces: false,
    audit: (record) => audits.push(record),
    now: Date.now,
    ...more.api,
  });
  const server = createIssuerServer({
    ...api,
    trustedProxies: [],
    perSourcePerSecond: 1000,
    perUserPerSecond: 1000,
    reportFault: ({ error }) => faults.push(error),
    observeRequest: () => undefined,
    ...more.server,
  });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  return {
    url: `http://127.0.0.1:${port}`,
    audits,
    faults,
    close: async () => {
      await server.close();
      client.close();
    },
  };
}

/** A tier's namespace as installation makes it. */
export async function createTierNamespace(kube: ApiServer, tier: string): Promise<string> {
  const name = `${instance}-tier-${tier}`;
  const labels = {
    'app.kubernetes.io/component': 'token-issuer',
    'app.kubernetes.io/part-of': 'maas-api',
    'maas.opendatahub.io/instance': instance,
    'maas.opendatahub.io/tier': tier,
    'maas.opendatahub.io/tier-namespace': 'true',
  };
  await createApiCaller(kube).call('POST', '/api/v1/namespaces', {
    token: kube.adminToken,
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } },
  });
  return name;
}

/** A JSON value that a test looks into without asking what it is; what it finds is compared. */
export interface Json {
  readonly [key: string]: Json;
}

export interface IssuerAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
}

export interface Asked {
  readonly token?: string | Json | undefined;
  readonly method?: string;
  readonly path: string;
  /** Sent as JSON; a text as it is. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request to the token API. */
export async function ask(issuer: { readonly url: string }, what: Asked): Promise<IssuerAnswer> {
  const { token, method = 'GET', path, body, headers = {} } = what;
  const answer = await fetch(issuer.url + path, {
    method,
    headers: { ...(token !== undefined && { authorization: `Bearer ${textOf(token)}` }), ...headers },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  return {
    status: answer.status,
    headers: answer.headers,
    body: (/^[[{]/.test(text) ? JSON.parse(text) : { text }) as Json,
  };
}

export function claimsOf(token: string | Json | undefined): Json {
  const [, payload = ''] = textOf(token).split('.');
  return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Json;
}

/** The credentials that the issuer's pod would have. */
export async function issuerToken(admin: KubeClient): Promise<string> {
  const { body } = await admin.post('/api/v1/namespaces/tiergate/serviceaccounts/tiergate-issuer/token', {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {},
  });
  return (body as { readonly status: { readonly token: string } }).status.token;
}

/** The lifetime that an answer to a mint states, in seconds. */
export function lifetimeOf(minted: Json): number {
  return Number(minted['expiresAt']) - Number(minted['issuedAt']);
}

/** What must be a text, or the test stops here. */
export function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError(`${JSON.stringify(value)} is no text`);
  return value;
}
