import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';

import { token } from '../../src/programs/token.ts';
import {
  ask,
  claimsOf,
  instance,
  issuerNamespace,
  issuerToken,
  type Json,
  textOf,
} from '../issue/issuer-world.ts';
import { applyManifests, readManifests } from './apply-manifests.ts';
import { freePort } from './free-port.ts';
import { type KubeApiServer, startKubeApiServer } from './kube-apiserver.ts';
import { type RunningProcess, startProcess } from './running-process.ts';

const users = ['newcomer', 'alice', 'bob'].map((name) => ({
  name,
  token: `${name}-cluster-token`,
  groups: [],
}));

const policy = '[{name: free, level: 0, groups: [system:authenticated], limits: unlimited}]';

interface Replica extends RunningProcess {
  readonly url: string;
  readonly ops: string;
}

/** What is built and shipped, as an installation runs it: two replicas with the rights of their ServiceAccount. */
describe('two replicas of tiergate issuer', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tiergate-issuer-'));
  let kube: KubeApiServer;
  let replicas: readonly [Replica, Replica];

  beforeAll(async () => {
    kube = await startKubeApiServer({ users, controllerManager: true });
    const admin = kube.client();
    await applyManifests(admin, [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: issuerNamespace } },
      ...readManifests('issuer-rbac.yaml'),
      ...readManifests('issuer-tier-namespaces.yaml'),
      ...readManifests('issuer-admission.yaml'),
    ]);
    await leaveBehindAnEndedToken();
    const kubeconfig = writeKubeconfig('issuer', await issuerToken(admin));
    replicas = await Promise.all([startReplica('a', kubeconfig), startReplica('b', kubeconfig)]);
  });

  afterAll(async () => {
    for (const replica of replicas) await replica.stop();
    await kube.stop();
    rmSync(folder, { recursive: true });
  });

  function writeKubeconfig(name: string, bearer: string): string {
    const path = join(folder, `${name}.kubeconfig`);
    const context = { cluster: 'c', user: 'u', namespace: issuerNamespace };
    const ca = Buffer.from(kube.caPem).toString('base64');
    const kubeconfig = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'x',
      clusters: [{ name: 'c', cluster: { server: kube.url, 'certificate-authority-data': ca } }],
      users: [{ name: 'u', user: { token: bearer } }],
      contexts: [{ name: 'x', context }],
    };
    writeFileSync(path, JSON.stringify(kubeconfig), { mode: 0o600 });
    return path;
  }

  async function startReplica(name: string, kubeconfig: string): Promise<Replica> {
    const [port, opsPort] = [await freePort(), await freePort()];
    const file = join(folder, `${name}.yaml`);
    const policyFile = join(folder, 'policy.yaml');
    writeFileSync(policyFile, policy);
    writeFileSync(
      file,
      `
limits: {store: memory}
policy: {file: ${policyFile}}
kubernetes: {kubeconfig: ${kubeconfig}}
issuer: {listeners: {http: {address: "127.0.0.1:${port}"}, ops: {address: "127.0.0.1:${opsPort}"}}}
`,
    );
    const ops = `http://127.0.0.1:${opsPort}`;
    const running = await startProcess({
      name: `issuer-${name}`,
      command: process.execPath,
      args: [inject('programPath'), 'issuer', '--config', file],
      isReady: async (signal) => (await fetch(`${ops}/readyz`, { signal })).ok,
    });
    return { ...running, url: `http://127.0.0.1:${port}`, ops };
  }

  /** A Secret such as a token leaves behind when it has ended. */
  async function leaveBehindAnEndedToken(): Promise<void> {
    const namespace = `${instance}-tier-free`;
    const admin = kube.client();
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'bob-48181acd' } };
    const made = await admin.post(`/api/v1/namespaces/${namespace}/serviceaccounts`, account);
    const { uid } = (made.body as { readonly metadata: { readonly uid: string } }).metadata;
    await admin.post(`/api/v1/namespaces/${namespace}/secrets`, {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'tiergate.dev/access-token',
      metadata: {
        name: 'tgt-ended',
        labels: { 'tiergate.dev/token': 'true', 'tiergate.dev/service-account': 'bob-48181acd' },
        annotations: {
          'tiergate.dev/user': 'bob',
          'tiergate.dev/jti': 'j',
          'tiergate.dev/expires-at': new Date(Date.now() - 1_000).toISOString(),
        },
        ownerReferences: [{ apiVersion: 'v1', kind: 'ServiceAccount', name: 'bob-48181acd', uid }],
      },
    });
  }

  async function isLeader({ ops }: Replica): Promise<boolean> {
    const text = await (await fetch(`${ops}/metrics`)).text();
    return /^tiergate_issuer_leader 1$/m.test(text);
  }

  it('make one account for a first-time user who asks both at once', async () => {
    const what = { token: 'newcomer-cluster-token', method: 'POST', path: '/v1/tokens' };
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) => ask(replicas[index % 2 === 0 ? 0 : 1], what)),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
    const accounts = new Set(
      answers.map(({ body }) => JSON.stringify(claimsOf(body['token'])['kubernetes.io']?.['serviceaccount'])),
    );
    expect(accounts.size).toBe(1);
    const listed = await ask(replicas[1], { token: 'newcomer-cluster-token', path: '/v1/tokens' });
    expect(listed.body['data']).toHaveLength(30);
  });

  it('one of them sweeps', async () => {
    await expect.poll(async () => (await Promise.all(replicas.map(isLeader))).filter(Boolean).length).toBe(1);
    const path = `/api/v1/namespaces/${instance}-tier-free/secrets/tgt-ended`;
    await expect.poll(async () => (await kube.client().get(path)).status, { timeout: 5_000 }).toBe(404);
  });

  it('tiergate token gets a fresh token from the kubeconfig of a user', async () => {
    const kubeconfig = writeKubeconfig('alice', 'alice-cluster-token');
    const out: string[] = [];
    const err: string[] = [];
    const io = {
      out: (line: string) => void out.push(line),
      err: (line: string) => void err.push(line),
      readInput: async () => '',
      env: { XDG_CACHE_HOME: folder },
    };
    const args = [
      '--url',
      replicas[0].url,
      '--kubeconfig',
      kubeconfig,
      '--expiration',
      '10m',
      '--name',
      'cli',
    ];
    expect(await token(args, io), err.join('\n')).toBe(0);
    expect(await token(args, io)).toBe(0);
    expect(out[1]).toBe(out[0]);
    const whoami = await ask(replicas[1], { token: textOf(out[0]), path: '/v1/whoami' });
    expect(whoami.body).toMatchObject({ user: 'alice', token: { kind: 'access' } });
    const listed = await ask(replicas[1], { token: 'alice-cluster-token', path: '/v1/tokens' });
    expect(listed.body['data']).toMatchObject([{ name: 'cli' }]);
  });

  it('the cluster itself collects the records of an account that was ended', async () => {
    const secrets = `/api/v1/namespaces/${instance}-tier-free/secrets`;
    const countOf = async (user: string): Promise<number> => {
      const { body } = await kube.client().get(secrets);
      const { items } = body as { readonly items: readonly Json[] };
      return items.filter(({ metadata }) => Object.is(metadata?.['annotations']?.['tiergate.dev/user'], user))
        .length;
    };
    expect(await countOf('newcomer')).toBe(30);
    const revoked = { token: 'newcomer-cluster-token', method: 'DELETE', path: '/v1/tokens' };
    expect(await ask(replicas[0], revoked)).toMatchObject({ status: 204 });
    await expect.poll(() => countOf('newcomer'), { timeout: 20_000 }).toBe(0);
    expect(await countOf('alice')).toBe(1);
  });

  it('no token is in what they have written, at any level', () => {
    const text = replicas.map(({ logPath }) => readFileSync(logPath, 'utf8')).join('');
    expect(text).toContain('token_audit');
    expect(text).not.toMatch(/eyJ[A-Za-z0-9_-]{20,}\.eyJ/);
    expect(text).not.toContain('-cluster-token');
  });

  it('the leader gives the Lease back when it is told to stop', async () => {
    const [a, b] = replicas;
    const leader = (await isLeader(a)) ? a : b;
    const other = leader === a ? b : a;
    await leader.stop();
    const path = `/apis/coordination.k8s.io/v1/namespaces/${issuerNamespace}/leases/tiergate-issuer`;
    const { body } = await kube.client().get(path);
    expect((body as Json)['spec']).toMatchObject({ holderIdentity: '' });
    const what = { token: 'newcomer-cluster-token', method: 'POST', path: '/v1/tokens' };
    expect(await ask(other, what)).toMatchObject({ status: 201 });
  });
});
