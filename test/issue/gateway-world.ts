import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { type Config, parseConfig } from '../../src/process/config.ts';
import { createEvents } from '../../src/process/events.ts';
import { createLifecycle } from '../../src/process/lifecycle.ts';
import { createLog } from '../../src/process/log.ts';
import { startAuthorizer } from '../../src/programs/authorizer.ts';
import { type RunningIssuer, startIssuer } from '../../src/programs/issuer.ts';
import type { ServerContext } from '../../src/programs/run-server.ts';
import { gatewayBootstrap } from '../../src/sandbox/envoy-bootstrap.ts';
import { createModelServer } from '../../src/sandbox/model-server.ts';
import { createSecret } from '../../src/secret.ts';
import {
  applyManifests,
  installModelDefinition,
  type Manifest,
  readManifests,
} from '../real/apply-manifests.ts';
import { type Envoy, startEnvoy } from '../real/envoy.ts';
import { freePort } from '../real/free-port.ts';
import { type KubeApiServer, type StaticUser, startKubeApiServer } from '../real/kube-apiserver.ts';
import { type RedisServer, startRedis } from '../real/redis.ts';
import { instance, issuerNamespace, issuerToken } from './issuer-world.ts';

export interface GatewayWorldOptions {
  readonly users: readonly StaticUser[];
  /** The policy document. */
  readonly policy: string;
  /** The authorizer's `identity.ttl`. */
  readonly identityTtl: string;
}

/** Envoy, kube-apiserver and Redis, all real; authorizer and issuer as programs, in this process. */
export interface GatewayWorld {
  readonly kube: KubeApiServer;
  readonly redis: RedisServer;
  readonly envoy: Envoy;
  readonly issuer: RunningIssuer;
  /** Everything that the programs wrote to their logs. */
  readonly logLines: readonly string[];
  readonly stopIssuer: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export async function startGatewayWorld(options: GatewayWorldOptions): Promise<GatewayWorld> {
  const ends: (() => Promise<unknown> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of ends.toReversed()) await end();
  };
  try {
    const kube = await startKubeApiServer({ users: options.users, controllerManager: true });
    ends.push(kube.stop);
    await install(kube, options.policy);
    const redis = await startRedis();
    ends.push(redis.stop);
    const folder = mkdtempSync(join(tmpdir(), 'tiergate-world-'));
    ends.push(() => rmSync(folder, { recursive: true }));
    const models = createModelServer({ chunkDelayMs: 5 });
    const { port: modelPort } = await models.start();
    ends.push(models.stop);

    const logLines: string[] = [];
    const config = await configFor(options, redis, folder);
    const connectAs = (token: string) =>
      createFixedConnection({
        server: kube.url,
        caPem: kube.caPem,
        token: createSecret(token),
        namespace: issuerNamespace,
      });
    const forAuthorizer = createContext(config, logLines);
    const { grpcAddress } = await startAuthorizer(forAuthorizer, {
      connection: connectAs(kube.adminToken),
      drainDelayMs: 0,
    });
    ends.push(() => forAuthorizer.lifecycle.stop('test'));
    const forIssuer = createContext(config, logLines);
    const issuer = await startIssuer(forIssuer, { connection: connectAs(await issuerToken(kube.client())) });
    const stopIssuer = () => forIssuer.lifecycle.stop('test');
    ends.push(stopIssuer);
    const envoy = await startEnvoy({
      bootstrap: (place) =>
        gatewayBootstrap(place, {
          authorizer: { port: portOf(grpcAddress) },
          model: { port: modelPort },
          issuer: { port: portOf(issuer.url) },
        }),
    });
    ends.push(envoy.stop);
    return { kube, redis, envoy, issuer, logLines, stopIssuer, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What an installation applies, and two models: `llama` for every tier, `qwen-large` for premium. */
async function install(kube: KubeApiServer, policy: string): Promise<void> {
  const admin = kube.client();
  const named = (kind: string, name: string): Manifest => ({ apiVersion: 'v1', kind, metadata: { name } });
  const document = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'tier-to-group-mapping', namespace: issuerNamespace },
    data: { tiers: policy },
  };
  await applyManifests(admin, [
    named('Namespace', issuerNamespace),
    named('Namespace', 'llm'),
    ...readManifests('issuer-rbac.yaml'),
    ...readManifests('issuer-tier-namespaces.yaml'),
    ...readManifests('issuer-admission.yaml'),
    document,
  ]);
  await installModelDefinition(admin);
  await addModel(kube, 'llama', ['free', 'premium', 'enterprise']);
  await addModel(kube, 'qwen-large', ['premium', 'enterprise']);
}

async function addModel(kube: KubeApiServer, name: string, tiers: readonly string[]): Promise<void> {
  const group = 'rbac.authorization.k8s.io';
  const rbac = `${group}/v1`;
  const metadata = { name: `${name}-model-post-access`, namespace: 'llm' };
  const rules = [
    {
      apiGroups: ['serving.kserve.io'],
      resources: ['llminferenceservices'],
      resourceNames: [name],
      verbs: ['post'],
    },
  ];
  const subjects = tiers.map((tier) => ({
    apiGroup: group,
    kind: 'Group',
    name: `system:serviceaccounts:${instance}-tier-${tier}`,
  }));
  const roleRef = { apiGroup: group, kind: 'Role', name: metadata.name };
  const role = { apiVersion: rbac, kind: 'Role', metadata, rules };
  const binding = { apiVersion: rbac, kind: 'RoleBinding', metadata, roleRef, subjects };
  await applyManifests(kube.client(), [role, binding]);
  await kube.client().post('/apis/serving.kserve.io/v1alpha1/namespaces/llm/llminferenceservices', {
    apiVersion: 'serving.kserve.io/v1alpha1',
    kind: 'LLMInferenceService',
    metadata: { name },
    spec: { model: { name } },
  });
}

async function configFor(
  { identityTtl }: GatewayWorldOptions,
  redis: RedisServer,
  folder: string,
): Promise<Config> {
  const key = join(folder, 'key');
  writeFileSync(key, 'a key of the counters, for tests', { mode: 0o600 });
  const text = `
instance: ${instance}
listeners: {grpc: {address: "127.0.0.1:${await freePort()}"}, ops: {address: "127.0.0.1:0"}}
redis: {url: "${redis.url}", keySecretFile: "${key}", commandTimeout: 500ms}
identity: {ttl: ${identityTtl}}
check: {deadline: 800ms}
issuer: {listeners: {http: {address: "127.0.0.1:0"}, ops: {address: "127.0.0.1:0"}}}
log: {level: debug, decisions: all}
`;
  return parseConfig(text, { file: 'test', folder });
}

function createContext(config: Config, logLines: string[]): ServerContext {
  const log = createLog({ level: 'debug', write: (line) => void logLines.push(line), now: Date.now });
  const events = createEvents(log);
  const lifecycle = createLifecycle({ stopTimeoutMs: 5_000, events, now: () => performance.now() });
  return { config, lifecycle, log, events, droppedLogLines: () => 0 };
}

function portOf(address: string): number {
  return Number(/:(\d+)$/.exec(address)?.[1]);
}
