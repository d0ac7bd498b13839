import { createMemoryConsume } from '../../src/check/memory-consume.ts';
import { createIssuerServer, type IssuerServerOptions } from '../../src/http/issuer-server.ts';
import type { AuditRecord } from '../../src/issue/audit.ts';
import type { ServedModel } from '../../src/issue/models.ts';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { parsePolicyFile } from '../../src/policy/parse-policy.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { createTokenApi, type TokenApiOptions } from '../../src/programs/token-api.ts';
import { createSecret } from '../../src/secret.ts';
import { clusterAudience, type KubeApiServer } from './kube-apiserver.ts';
import type { KubeClient } from './kube-client.ts';

export const instance = 'maas-default-gateway';
export const audience = `${instance}-sa`;
export const issuerNamespace = 'tiergate';

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
}

/** The token API in this process, against a real API server, as the user of `token`. */
export async function startIssuer(
  kube: KubeApiServer,
  token: string,
  more: Partial<IssuerWorldOptions> = {},
): Promise<IssuerWorld> {
  const audits: AuditRecord[] = [];
  const faults: unknown[] = [];
  const client = createKubernetesClient({
    connection: createFixedConnection({
      server: more.kubernetesUrl ?? kube.url,
      caPem: kube.caPem,
      token: createSecret(token),
    }),
    timeoutMs: 5_000,
  });
  const api = createTokenApi({
    client,
    instance,
    audience,
    clusterAudience,
    namespace: issuerNamespace,
    policy: () => testPolicy(),
    consume: createMemoryConsume({ now: Date.now }),
    listServedModels: () => more.models ?? [],
    access: { group: 'serving.kserve.io', resource: 'llminferenceservices', verb: 'post' },
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
export async function createTierNamespace(admin: KubeClient, tier: string): Promise<string> {
  const name = `${instance}-tier-${tier}`;
  await admin.post('/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name,
      labels: {
        'app.kubernetes.io/component': 'token-issuer',
        'app.kubernetes.io/part-of': 'maas-api',
        'maas.opendatahub.io/instance': instance,
        'maas.opendatahub.io/tier': tier,
        'maas.opendatahub.io/tier-namespace': 'true',
      },
    },
  });
  return name;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  // The tests look into answers of many shapes; what they find there is compared, never called.
  readonly body: Readonly<Record<string, never>>;
}

/** One request to the token API, as `token`. */
export async function ask(
  issuer: { readonly url: string },
  what: {
    readonly token?: string;
    readonly method?: string;
    readonly path: string;
    readonly body?: unknown;
    readonly headers?: Readonly<Record<string, string>>;
  },
): Promise<ApiAnswer> {
  const { token, method = 'GET', path, body, headers = {} } = what;
  const answer = await fetch(issuer.url + path, {
    method,
    headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  return {
    status: answer.status,
    headers: answer.headers,
    body: (text.startsWith('{') ? JSON.parse(text) : { text }) as Readonly<Record<string, never>>,
  };
}

export function claimsOf(token: string): Readonly<Record<string, unknown>> {
  const [, payload = ''] = token.split('.');
  return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Readonly<Record<string, unknown>>;
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
