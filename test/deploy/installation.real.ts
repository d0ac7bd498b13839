import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { parseConfig } from '../../src/process/config.ts';
import { stopTimeoutMs as authorizerStopMs } from '../../src/programs/authorizer-program.ts';
import { stopTimeoutMs as issuerStopMs } from '../../src/programs/issuer.ts';
import { actionTimeoutMs } from '../../src/programs/registrar-parts.ts';
import { createModelServer, type ModelRequest } from '../../src/sandbox/model-server.ts';
import { chat, send } from '../gateway/send.ts';
import { listeningAddresses } from '../program/program-process.ts';
import type { Envoy } from '../real/envoy.ts';
import { freePort } from '../real/free-port.ts';
import type { KubeApiServer } from '../real/kube-apiserver.ts';
import { type RedisServer, startRedis } from '../real/redis.ts';
import { applyAll, startCluster } from './cluster.ts';
import { deploymentOf, objectOf } from './deployment.ts';
import { type Pod, startPod } from './pod.ts';
import { deployFolder, kustomizeWith, objectsOf, type RenderedObject } from './render.ts';
import { readConfiguration, startShipped } from './shipped-envoy.ts';

const password = randomBytes(16).toString('hex');
const alice = { token: 'alice-cluster-token', name: 'alice', groups: ['tier-premium-users'] };

const instance = { name: 'auth.example.com', environment: 'prod', token: { vault: 'creds/sso/a' } };

/** What odh-model-controller makes of an annotation of a model. */
const access = `
apiVersion: v1
kind: Namespace
metadata: {name: llm}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: sso-clusters, namespace: tiergate}
data: {clusters.yaml: "clusters: []"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: llama-model-post-access, namespace: llm}
rules:
  - {apiGroups: [serving.kserve.io], resources: [llminferenceservices], resourceNames: [llama], verbs: [post]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: llama-model-post-access-tier-binding, namespace: llm}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: llama-model-post-access}
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:serviceaccounts:maas-default-gateway-tier-premium"}
`;

describe('an installation by the manifests', () => {
  let objects: readonly RenderedObject[];
  let kube: KubeApiServer;
  let redis: RedisServer;
  let envoy: Envoy;
  const pods = new Map<string, Pod>();
  const asked: ModelRequest[] = [];
  const model = createModelServer({ onRequest: (request) => void asked.push(request) });

  const pod = (name: string): Pod => {
    const found = pods.get(name);
    if (found === undefined) throw new Error(`${name} does not run`);
    return found;
  };
  const start = async (name: string, more: Pick<Parameters<typeof startPod>[0], 'secrets' | 'config'>) => {
    const program = inject('programPath');
    pods.set(name, await startPod({ objects, kube, program, deployment: `tiergate-${name}`, ...more }));
  };
  const here = (port: number) => ({ address: `127.0.0.1:${port}` });

  beforeAll(async () => {
    objects = await kustomizeWith('base', [
      'components/registrar',
      'components/monitoring',
      'components/registrar-monitoring',
    ]);
    [kube, redis] = await Promise.all([startCluster({ users: [alice] }), startRedis()]);
    await redis.cli('CONFIG', 'SET', 'requirepass', password);
    const policy = readFileSync(join(deployFolder, 'policy/tier-to-group-mapping.yaml'), 'utf8');
    expect(await applyAll(kube, [...objects, ...objectsOf(policy), ...objectsOf(access)])).toEqual([]);
    const secrets = { password, key: randomBytes(32).toString('hex') };
    // A busy machine is no outage: else requests would be counted locally, within a sixth of the limit.
    const ourRedis = { url: `redis://127.0.0.1:${redis.port}`, commandTimeout: '500ms' };
    await Promise.all([
      start('authorizer', {
        secrets,
        config: (ports) => ({
          listeners: { grpc: here(ports('grpc')), ops: here(ports('ops')) },
          redis: ourRedis,
        }),
      }),
      start('registrar', {
        secrets: { 'role-id': 'r', 'secret-id': 's' },
        config: (ports) => ({
          registrar: {
            listeners: { ops: here(ports('ops')) },
            // Nobody is asked who is not of this test: neither Vault nor an identity provider is there.
            vault: { url: 'http://127.0.0.1:1' },
            instances: [{ ...instance, issuer: 'http://127.0.0.1:1/auth/realms/staff' }],
          },
        }),
      }),
      start('issuer', {
        secrets,
        config: (ports) => ({
          issuer: { listeners: { http: here(ports('http')), ops: here(ports('ops')) } },
          redis: ourRedis,
        }),
      }),
    ]);
    await vi.waitFor(
      async () => {
        const metrics = await fetch(pod('authorizer').ops('/metrics'));
        expect(await metrics.text()).toContain('tiergate_redis_up 1');
      },
      { timeout: 10_000 },
    );
    const { port: modelPort } = await model.start();
    const portOf: Readonly<Record<string, number>> = {
      authorizer: pod('authorizer').portOf('grpc'),
      issuer: pod('issuer').portOf('http'),
      models: modelPort,
    };
    const unused = await freePort();
    envoy = await startShipped(await readConfiguration('envoy/envoy.yaml'), (name) => portOf[name] ?? unused);
  });

  afterAll(async () => {
    await envoy.stop();
    for (const { remove } of pods.values()) await remove();
    await Promise.all([model.stop(), redis.stop()]);
    await kube.stop();
  });

  it('gives a token and an answer of a model, through the shipped Envoy', async () => {
    const minted = await send(envoy.port, {
      path: '/maas-api/v1/tokens',
      headers: { authorization: `Bearer ${alice.token}` },
    });
    expect(minted).toMatchObject({ status: 201 });
    const { token } = JSON.parse(minted.text) as { readonly token: string };
    const answered = await chat(envoy.port, token);
    expect(answered).toMatchObject({ status: 200, headers: { 'x-ratelimit-remaining-requests': '19' } });
    expect((await chat(envoy.port, token, '/llm/other/v1/chat/completions')).status).toBe(403);
    expect((await chat(envoy.port, undefined)).status).toBe(401);
    expect(asked.at(-1)?.headers).toMatchObject({ 'x-tiergate-user': 'alice', 'x-tiergate-tier': 'premium' });
    expect(asked.at(-1)?.headers).not.toHaveProperty('authorization');
  });

  it("lets no client's copy of our headers reach even the token API", async () => {
    const answered = await send(envoy.port, {
      method: 'GET',
      path: '/maas-api/v1/whoami',
      headers: {
        authorization: `Bearer ${alice.token}`,
        'x-maas-username': 'mallory',
        'X-Tiergate-User': 'mallory',
      },
    });
    expect(answered.status).toBe(200);
    expect(answered.text).not.toContain('mallory');
  });

  it('has rights enough: nothing does without what it depends on', async () => {
    for (const name of ['authorizer', 'issuer']) {
      const report = await (await fetch(pod(name).ops('/readyz'))).text();
      expect(report, name).not.toContain('degraded');
    }
  });

  it('has rights enough for the registrar to read its inventory', async () => {
    const report = (await (await fetch(pod('registrar').ops('/readyz'))).json()) as Report;
    expect(report.parts).toMatchObject({ clusters: { state: 'ready' }, store: { state: 'degraded' } });
  });

  it.each(['authorizer', 'issuer', 'registrar'])(
    'has probes and a ServiceMonitor that the %s answers',
    async (name) => {
      const { containers } = deploymentOf(objects, `tiergate-${name}`).spec.template.spec;
      const { livenessProbe, readinessProbe } = containers[0];
      for (const { httpGet } of [livenessProbe, readinessProbe]) {
        expect(httpGet.port).toBe('ops');
        expect((await fetch(pod(name).ops(httpGet.path))).status).toBe(200);
      }
      const { endpoints } = objectOf(objects, 'ServiceMonitor', `tiergate-${name}`).spec as Monitor;
      expect(endpoints[0]?.port).toBe('ops');
      const metrics = await fetch(pod(name).ops(endpoints[0]?.path ?? ''));
      expect(await metrics.text()).toContain('tiergate_build_info');
    },
  );

  it.each(['authorizer', 'issuer', 'registrar'] as const)(
    'names the ports of the %s as its process file has them',
    (name) => {
      const { containers, volumes } = deploymentOf(objects, `tiergate-${name}`).spec.template.spec;
      const configMap = volumes.find(({ configMap: its }) => its !== undefined)?.configMap?.name ?? '';
      const [text = ''] = Object.values(objectOf(objects, 'ConfigMap', configMap).data ?? {});
      const config = parseConfig(text, { file: name, folder: '/' });
      const sections = {
        authorizer: config.listeners,
        issuer: config.issuer.listeners,
        registrar: config.registrar?.listeners,
      };
      const listeners = Object.entries(sections[name] ?? {}).map(
        ([door, { address }]) => [door, address] as const,
      );
      // The console is for this pod alone: kubectl port-forward reaches it.
      const open = listeners.filter(([, address]) => !('host' in address && address.host === '127.0.0.1'));
      const ports = Object.fromEntries(
        open.map(([door, address]) => [door, 'port' in address ? address.port : undefined]),
      );
      expect(
        Object.fromEntries(containers[0].ports.map(({ name: port, containerPort }) => [port, containerPort])),
      ).toEqual(ports);
    },
  );

  it.each(['authorizer', 'issuer', 'registrar'])(
    'opens no port of the %s that the manifest does not name',
    (name) => {
      const { containers } = deploymentOf(objects, `tiergate-${name}`).spec.template.spec;
      const named = new Set(
        containers[0].ports.map(({ name: port }) => `127.0.0.1:${pod(name).portOf(port)}`),
      );
      const unnamed = listeningAddresses(pod(name).pid).filter((address) => !named.has(address));
      expect(unnamed.filter((address) => !address.endsWith(':9093'))).toEqual([]);
    },
  );

  it.each([
    ['authorizer', authorizerStopMs],
    ['issuer', issuerStopMs],
    ['registrar', actionTimeoutMs + 10_000],
  ] as const)('gives the %s longer to end than it ever takes', (name, stopMs) => {
    const { containers, terminationGracePeriodSeconds } = deploymentOf(objects, `tiergate-${name}`).spec
      .template.spec;
    const preStopSeconds = containers[0].lifecycle?.preStop.sleep.seconds ?? 0;
    expect(terminationGracePeriodSeconds).toBeGreaterThanOrEqual(preStopSeconds + stopMs / 1000 + 5);
  });

  it('counts at least as many replicas while Redis is away as there may be', () => {
    const { maxReplicas } = objectOf(objects, 'HorizontalPodAutoscaler', 'tiergate-authorizer').spec as {
      readonly maxReplicas: number;
    };
    const { volumes } = deploymentOf(objects, 'tiergate-authorizer').spec.template.spec;
    const configMap = volumes.find(({ configMap: its }) => its !== undefined)?.configMap?.name ?? '';
    const [text = ''] = Object.values(objectOf(objects, 'ConfigMap', configMap).data ?? {});
    const { limits } = parseConfig(text, { file: 'base', folder: '/' });
    expect(limits.expectedReplicas).toBeGreaterThanOrEqual(maxReplicas);
  });

  it('is drained before it ends: not ready at once, and serving still', async () => {
    const ended = pod('authorizer').stop();
    await expect.poll(async () => (await fetch(pod('authorizer').ops('/readyz'))).status).toBe(503);
    expect((await fetch(pod('authorizer').ops('/livez'))).status).toBe(200);
    await ended;
  });
});

interface Report {
  readonly parts: Readonly<Record<string, { readonly state: string }>>;
}

interface Monitor {
  readonly endpoints: readonly { readonly port: string; readonly path: string }[];
}
