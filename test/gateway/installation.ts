import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import { type GatewayOptions, gatewayBootstrap } from '../../src/sandbox/envoy-bootstrap.ts';
import { createModelServer, type ModelRequest } from '../../src/sandbox/model-server.ts';
import { clusterObjects, ownUsers } from '../../src/sandbox/seed.ts';
import { createSecret, type Secret } from '../../src/secret.ts';
import { type Envoy, startEnvoy } from '../real/envoy.ts';
import { type FaultProxy, startFaultProxy } from '../real/fault-proxy.ts';
import { freePort } from '../real/free-port.ts';
import { type KubeApiServer, startKubeApiServer } from '../real/kube-apiserver.ts';
import { type RedisServer, startRedis } from '../real/redis.ts';
import { type RunningProcess, startProcess } from '../real/running-process.ts';
import { collectionOf } from '../real/apply-manifests.ts';

/**
 * Everything real: kube-apiserver with etcd, Redis, Envoy, and authorizers as processes of the built program, each
 * reached through a proxy that can fail. Only the model server is the sandbox's sample.
 */
export interface Installation {
  readonly kube: KubeApiServer;
  readonly redis: RedisServer;
  readonly kubeProxy: FaultProxy;
  readonly redisProxy: FaultProxy;
  /** Of the counters. */
  readonly keySecret: Secret;
  /** What has reached the model, newest last. */
  readonly modelRequests: ModelRequest[];
  readonly modelPort: number;
  readonly startAuthorizer: (options?: AuthorizerOptions) => Promise<Authorizer>;
  readonly startGateway: (
    authorizer: Pick<Authorizer, 'port'>,
    options?: Partial<GatewayOptions>,
  ) => Promise<Envoy>;
  /** A fresh access token of a fresh ServiceAccount that is annotated with the user. */
  readonly mint: (user: string, tier: string, seconds?: number) => Promise<string>;
  /** Reviews that authorizers asked for, by user name of who asked. */
  readonly reviews: (resource: 'tokenreviews' | 'subjectaccessreviews') => number;
  readonly stop: () => Promise<void>;
}

export interface AuthorizerOptions {
  /** More of the process file, as YAML at top level. */
  readonly config?: string;
  /** More of `listeners.grpc`, such as `trust: [10.0.0.0/8]`. */
  readonly grpc?: string;
  /**
   * Of a Check, in milliseconds. Default 800, as shipped; more where a crowd is to be counted and a slow machine
   * must not turn into outages.
   */
  readonly deadlineMs?: number;
  /** Where the counters are, as the process file's `redis` says it; default the one Redis behind its proxy. */
  readonly redis?: string;
  /** A policy document in place of the ConfigMap. */
  readonly policy?: string;
  readonly logLevel?: 'debug' | 'info';
  /** Another way to the API server than through `kubeProxy`. */
  readonly kubeconfig?: string;
  /** Of the gRPC door. Default: any that is free. */
  readonly port?: number;
  /** `listeners.http` besides its address, such as `profile: nginx`; there is no HTTP door without. */
  readonly http?: string;
  /** Of the HTTP door. Default: any port that is free. */
  readonly httpAddress?: string;
}

export interface Authorizer extends RunningProcess {
  readonly port: number;
  /** Of the HTTP door; 0 where there is none, or none on a port. */
  readonly httpPort: number;
  readonly opsUrl: string;
  /** Where `policy` was written, if it was given. */
  readonly policyFile: string;
  readonly log: () => Promise<string>;
}

export const instance = 'maas-default-gateway';
export const audience = `${instance}-sa`;

const tiers = ['free', 'premium', 'enterprise'];

/** Limits of requests alone; tests that limit more bring a document of their own. */
const tiersDocument = `
- {name: free, level: 0, groups: [tier-free-users, system:authenticated], limits: {requests: [{limit: 5, window: 2m}]}}
- {name: premium, level: 10, groups: [tier-premium-users], limits: {requests: [{limit: 20, window: 2m}]}}
- {name: enterprise, level: 20, groups: [tier-enterprise-users], limits: {requests: [{limit: 50, window: 2m}]}}
`;

export async function startInstallation(): Promise<Installation> {
  const program = inject('programPath');
  const folder = await mkdtemp(join(tmpdir(), 'tiergate-gateway-'));
  const keySecretFile = join(folder, 'key');
  const key = randomBytes(32).toString('hex');
  await writeFile(keySecretFile, key, { mode: 0o600 });
  const [kube, redis] = await Promise.all([
    startKubeApiServer({
      users: [{ token: ownUsers.authorizer.token, name: ownUsers.authorizer.username, groups: [] }],
    }),
    startRedis(),
  ]);
  await seed(kube);
  const kubeProxy = await startFaultProxy(kube.port);
  const redisProxy = await startFaultProxy(redis.port);
  const kubeconfig = await kube.writeKubeconfig(
    ownUsers.authorizer.token,
    `https://127.0.0.1:${kubeProxy.port}`,
  );
  const modelRequests: ModelRequest[] = [];
  const model = createModelServer({ onRequest: (request) => void modelRequests.push(request) });
  const { port: modelPort } = await model.start();
  const running: { readonly stop: () => Promise<void> }[] = [];

  async function startAuthorizer(options: AuthorizerOptions = {}): Promise<Authorizer> {
    const { deadlineMs = 800 } = options;
    const [port, opsPort] = [options.port ?? (await freePort()), await freePort()];
    const httpPort = options.http === undefined || options.httpAddress !== undefined ? 0 : await freePort();
    const httpAddress = options.httpAddress ?? `127.0.0.1:${httpPort}`;
    const http = options.http === undefined ? '' : `, http: {address: "${httpAddress}", ${options.http}}`;
    const file = join(folder, `authorizer-${port}.yaml`);
    const policyFile = join(folder, `policy-${port}.yaml`);
    if (options.policy !== undefined) await writeFile(policyFile, options.policy);
    const policy =
      options.policy === undefined ? '{configMap: {namespace: tiergate}}' : `{file: ${policyFile}}`;
    await writeFile(
      file,
      `
listeners: {grpc: {address: "127.0.0.1:${port}"${options.grpc === undefined ? '' : `, ${options.grpc}`}}, ops: {address: "127.0.0.1:${opsPort}"}${http}}
check: {deadline: ${deadlineMs}ms}
policy: ${policy}
redis: {${options.redis ?? `url: "redis://127.0.0.1:${redisProxy.port}"`}, keySecretFile: ${keySecretFile}, commandTimeout: ${Math.round((deadlineMs * 3) / 8)}ms}
kubernetes: {kubeconfig: ${options.kubeconfig ?? kubeconfig}}
${options.config ?? ''}
`,
    );
    const opsUrl = `http://127.0.0.1:${opsPort}`;
    const started = await startProcess({
      name: 'authorizer',
      command: process.execPath,
      args: [program, 'authorizer', '--config', file],
      env: { LOG_LEVEL: options.logLevel ?? 'info' },
      isReady: async (signal) => (await fetch(`${opsUrl}/readyz`, { signal })).ok,
    });
    const authorizer = {
      ...started,
      port,
      httpPort,
      opsUrl,
      policyFile,
      log: () => readFile(started.logPath, 'utf8'),
    };
    running.push({ stop: started.kill });
    return authorizer;
  }

  return {
    kube,
    redis,
    kubeProxy,
    redisProxy,
    keySecret: createSecret(key),
    modelRequests,
    modelPort,
    startAuthorizer,
    async startGateway(authorizer, options = {}) {
      const upstreams = { authorizer: { port: authorizer.port }, model: { port: modelPort } };
      const envoy = await startEnvoy({
        bootstrap: (place) => gatewayBootstrap(place, { ...upstreams, ...options }),
      });
      running.push(envoy);
      return envoy;
    },
    mint: (user, tier, seconds = 3600) =>
      mint(kube, user, { namespace: `${instance}-tier-${tier}`, seconds }),
    reviews: (resource) =>
      kube.reviews(resource).filter(({ user }) => user === ownUsers.authorizer.username).length,
    async stop() {
      for (const { stop } of running.toReversed()) await stop();
      await Promise.all([kubeProxy.stop(), redisProxy.stop(), model.stop()]);
      await Promise.all([kube.stop(), redis.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function seed(kube: KubeApiServer): Promise<void> {
  const admin = kube.client();
  const objects = [
    // Access is asked about by name: the objects need not exist, nor their kind.
    ...clusterObjects(instance, tiers).filter(({ kind }) => kind !== 'LLMInferenceService'),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'tier-to-group-mapping', namespace: 'tiergate' },
      data: { tiers: tiersDocument },
    },
  ];
  for (const object of objects) {
    const { status, body } = await admin.post(collectionOf(object), object);
    // system:auth-delegator and the like are there already.
    if (status !== 201 && status !== 409) throw new Error(JSON.stringify(body));
  }
}

let accounts = 0;

async function mint(
  kube: KubeApiServer,
  user: string,
  { namespace, seconds }: { readonly namespace: string; readonly seconds: number },
): Promise<string> {
  const admin = kube.client();
  accounts += 1;
  const name = `person-${accounts}`;
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await admin.post(path, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, annotations: { 'tiergate.dev/user': user } },
  });
  const { status, body } = await admin.post(`${path}/${name}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences: [audience], expirationSeconds: seconds },
  });
  if (status !== 201) throw new Error(`TokenRequest: ${status} ${JSON.stringify(body)}`);
  return (body as { readonly status: { readonly token: string } }).status.token;
}
