import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { Envoy } from '../real/envoy.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { accountsPath, issue, type Issued, setUnlimited } from './issued.ts';
import { chat } from './send.ts';

const run = promisify(execFile);

let installation: Installation;
let authorizer: Authorizer;
let envoy: Envoy;

beforeAll(async () => {
  installation = await startInstallation();
  await setUnlimited(installation);
  authorizer = await installation.startAuthorizer({ config: 'identity: {watchDownTtl: 2s}' });
  envoy = await installation.startGateway(authorizer);
});

afterAll(() => installation.stop());

async function statusOf(token: string, path?: string): Promise<number> {
  return (await chat(envoy.port, token, path)).status;
}

interface Report {
  readonly status: string;
  readonly parts: Readonly<Record<string, { readonly state: string; readonly detail?: string }>>;
}

async function report(of = authorizer): Promise<Report> {
  return (await (await fetch(`${of.opsUrl}/readyz`)).json()) as Report;
}

const rbac = '/apis/rbac.authorization.k8s.io/v1';

describe('a watch that is away', () => {
  it('has told of 20 deletions within a second of its return', async () => {
    const issued: Issued[] = [];
    for (let count = 0; count < 20; count += 1) {
      const [one] = await issue(installation, `cut-${count}@example.com`);
      expect(await statusOf(one.token)).toBe(200);
      issued.push(one);
    }
    await installation.kubeProxy.refuse();
    await expect.poll(async () => (await report()).parts['serviceAccounts']?.state).toBe('degraded');
    for (const { account } of issued) {
      const { status } = await installation.kube.client().delete(`${accountsPath('enterprise')}/${account}`);
      expect(status).toBe(200);
    }
    // Nobody can tell: known tokens go on, as the stated bound has it.
    expect(await statusOf(issued[0]?.token ?? '')).toBe(200);
    await installation.kubeProxy.pass();
    await expect.poll(async () => (await report()).parts['serviceAccounts']?.state).toBe('ready');
    await expect.poll(async () => (await report()).parts['tokenSecrets']?.state).toBe('ready');
    const relistedAtMs = performance.now();
    const answers = await Promise.all(issued.map(({ token }) => chat(envoy.port, token)));
    const tookMs = performance.now() - relistedAtMs;
    console.log(`20 of 20 refused ${tookMs.toFixed(0)} ms after the relist`);
    expect(answers.map(({ status }) => status)).toEqual(issued.map(() => 401));
    expect(tookMs).toBeLessThan(1_000);
  });

  it('makes remembered identities short-lived, while reviews still work', async () => {
    const [issued] = await issue(installation, 'short@example.com');
    const role = `${rbac}/namespaces/${issued.namespace}/roles/tiergate-authorizer`;
    const { body } = await installation.kube.client().get(role);
    await statusOf(issued.token);
    const reviews = () => installation.reviews('tokenreviews');
    const before = reviews();
    await sleep(2_200);
    expect(await statusOf(issued.token)).toBe(200);
    expect(reviews()).toBe(before);

    await installation.kube.client().put(role, { ...(body as object), rules: [] });
    installation.kubeProxy.cut();
    await expect.poll(async () => (await report()).parts['tokenSecrets']?.state).toBe('degraded');
    const during = reviews();
    await sleep(2_200);
    expect(await statusOf(issued.token)).toBe(200);
    expect(reviews()).toBe(during + 1);

    const { body: now } = await installation.kube.client().get(role);
    const { metadata } = now as { readonly metadata: object };
    await installation.kube.client().put(role, { ...(body as object), metadata });
    await expect
      .poll(async () => (await report()).parts['tokenSecrets']?.state, { timeout: 15_000 })
      .toBe('ready');
  });
});

describe('a change of access rules', () => {
  it('is felt at once by its namespace, and by no other', async () => {
    const admin = installation.kube.client();
    await admin.post('/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'other' },
    });
    const copyOf = async (kind: 'roles' | 'rolebindings') => {
      const { body } = await admin.get(`${rbac}/namespaces/llm/${kind}/llama-model-post-access`);
      await admin.post(`${rbac}/namespaces/other/${kind}`, {
        ...(body as object),
        metadata: { name: 'llama-model-post-access', namespace: 'other' },
      });
    };
    await copyOf('roles');
    await copyOf('rolebindings');
    const [{ token }] = await issue(installation, 'access@example.com');
    await sleep(2_500);
    const other = '/other/llama/v1/chat/completions';
    expect(await statusOf(token)).toBe(200);
    expect(await statusOf(token, other)).toBe(200);
    const reviews = () => installation.reviews('subjectaccessreviews');
    const before = reviews();

    const binding = `${rbac}/namespaces/llm/rolebindings/llama-model-post-access`;
    const { body } = await admin.get(binding);
    let lastPassAtMs = 0;
    let isDeleted = false;
    const polling = (async () => {
      for (;;) {
        const status = await statusOf(token);
        if (status === 200) lastPassAtMs = performance.now();
        else if (isDeleted) return status;
        await sleep(2);
      }
    })();
    await admin.delete(binding);
    const deletedAtMs = performance.now();
    isDeleted = true;
    expect(await polling).toBe(403);
    const delayMs = Math.max(0, lastPassAtMs - deletedAtMs);
    console.log(`RoleBinding deleted: last pass ${delayMs.toFixed(1)} ms after the answer`);
    expect(delayMs).toBeLessThan(250);
    const asked = reviews() - before;
    for (let count = 0; count < 10; count += 1) expect(await statusOf(token, other)).toBe(200);
    // Of the namespace that nothing happened to, every verdict was still known.
    expect(reviews() - before).toBe(asked);

    const { metadata: _old, ...rest } = body as { readonly metadata: object };
    await admin.post(`${rbac}/namespaces/llm/rolebindings`, {
      ...rest,
      metadata: { name: 'llama-model-post-access', namespace: 'llm' },
    });
    await expect.poll(() => statusOf(token), { timeout: 1_000, interval: 20 }).toBe(200);
  });

  it('is felt when verdicts end, where the watch is not granted, and /readyz says so', async () => {
    const admin = installation.kube.client();
    const path = `${rbac}/clusterrolebindings/tiergate-authorizer`;
    const { body } = await admin.get(path);
    await admin.delete(path);
    const poor = await installation.startAuthorizer({ config: 'access: {allowTtl: 2s}' });
    const gateway = await installation.startGateway(poor);
    const { parts, status } = await report(poor);
    expect(status).toBe('ready');
    expect(parts['rbac']).toMatchObject({
      state: 'ready',
      detail: expect.stringContaining('not granted') as string,
    });
    const [{ token }] = await issue(installation, 'ttl@example.com');
    expect((await chat(gateway.port, token)).status).toBe(200);
    const binding = `${rbac}/namespaces/llm/rolebindings/llama-model-post-access`;
    const { body: access } = await admin.get(binding);
    await admin.delete(binding);
    await expect
      .poll(async () => (await chat(gateway.port, token)).status, { timeout: 4_000, interval: 50 })
      .toBe(403);
    const { metadata: _metadata, ...model } = access as { readonly metadata: object };
    await admin.post(`${rbac}/namespaces/llm/rolebindings`, {
      ...model,
      metadata: { name: 'llama-model-post-access', namespace: 'llm' },
    });
    const { metadata: _old, ...rest } = body as { readonly metadata: object };
    await admin.post(`${rbac}/clusterrolebindings`, { ...rest, metadata: { name: 'tiergate-authorizer' } });
    await poor.kill();
  });
});

describe('tiergate deny', () => {
  async function deny(...args: readonly string[]) {
    const kubeconfig = await installation.kube.writeKubeconfig(installation.kube.adminToken);
    const program = inject('programPath');
    const { stdout } = await run(process.execPath, [program, 'deny', ...args, '--namespace', 'tiergate'], {
      env: { ...process.env, KUBECONFIG: kubeconfig },
    });
    return stdout;
  }

  it('keeps out a user, an account or one token until the end, and lets them in again', async () => {
    const [first, second] = await issue(installation, 'denied@example.com', { count: 2 });
    if (second === undefined) throw new Error('two tokens');
    for (const { token } of [first, second]) expect(await statusOf(token)).toBe(200);
    const reason = 'the laptop was stolen';

    await deny('--jti', first.jti, '--reason', reason, '--for', '1h');
    const answeredAtMs = performance.now();
    await expect.poll(() => statusOf(first.token), { interval: 5 }).toBe(401);
    console.log(`deny felt ${(performance.now() - answeredAtMs).toFixed(0)} ms after the command ended`);
    expect(await statusOf(second.token)).toBe(200);

    await deny('--user', 'denied@example.com', '--reason', reason, '--for', '1h');
    await expect.poll(() => statusOf(second.token), { interval: 5 }).toBe(401);
    const answer = await chat(envoy.port, second.token);
    expect(answer.headers['x-tiergate-reason']).toBe('token_revoked');
    expect(answer.text).not.toContain(reason);
    await expect.poll(() => authorizer.log()).toContain(reason);
    expect(await deny('list')).toContain('user denied@example.com');

    await deny('lift', '--user', 'denied@example.com');
    await deny('lift', '--jti', first.jti);
    await expect.poll(() => statusOf(first.token), { interval: 5 }).toBe(200);

    const account = `${second.namespace}/${second.account}`;
    // The command is a process that has to start first.
    const end = new Date(Date.now() + 4_000).toISOString();
    await deny('--service-account', account, '--reason', reason, '--until', end);
    await expect.poll(() => statusOf(second.token), { interval: 5 }).toBe(401);
    // Ends by itself, and the next change clears it out.
    await expect.poll(() => statusOf(second.token), { timeout: 5_000, interval: 50 }).toBe(200);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(end));
    await deny('--user', 'somebody@example.com', '--reason', reason, '--for', '1m');
    const { body } = await installation.kube
      .client()
      .get('/api/v1/namespaces/tiergate/configmaps/tiergate-denied');
    expect(Object.keys((body as { readonly data: object }).data)).toHaveLength(1);
  });
});

describe('a rotation of the signing keys', () => {
  it('lets new tokens pass at once, and old ones as long as the API server takes them', async () => {
    const [before, kept] = await issue(installation, 'rotated@example.com', { count: 2 });
    if (kept === undefined) throw new Error('two tokens');
    expect(await statusOf(before.token)).toBe(200);
    await installation.kube.rotateServiceAccountKey({ keep: true });
    const [after] = await issue(installation, 'rotated@example.com');
    await expect.poll(() => statusOf(after.token), { timeout: 10_000 }).toBe(200);
    expect(await statusOf(before.token)).toBe(200);
    // Never seen before, signed by the old key: the API server still knows it.
    expect(await statusOf(kept.token)).toBe(200);

    const [last] = await issue(installation, 'rotated@example.com');
    await installation.kube.rotateServiceAccountKey({ keep: false });
    const [newest] = await issue(installation, 'rotated@example.com');
    await expect.poll(() => statusOf(newest.token), { timeout: 10_000 }).toBe(200);
    // Signed by a key that is no more; told apart from an outage once the keys may be looked at again (a second).
    await expect.poll(() => statusOf(last.token), { timeout: 5_000 }).toBe(401);
    // Remembered tokens go on until their TTL ends, and then follow the API server's verdict.
    const fresh = await installation.startAuthorizer();
    const gateway = await installation.startGateway(fresh);
    await expect
      .poll(async () => (await chat(gateway.port, before.token)).status, { timeout: 5_000 })
      .toBe(401);
    expect((await chat(gateway.port, newest.token)).status).toBe(200);
    await fresh.kill();
  });
});
