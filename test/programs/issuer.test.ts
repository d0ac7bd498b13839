import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type Connection, createFixedConnection } from '../../src/kubernetes/connection.ts';
import { parseConfig } from '../../src/process/config.ts';
import { createEvents } from '../../src/process/events.ts';
import { createLifecycle, type Lifecycle } from '../../src/process/lifecycle.ts';
import { createLog } from '../../src/process/log.ts';
import { type RunningIssuer, startIssuer } from '../../src/programs/issuer.ts';
import { createKubernetesApi, type KubernetesApi } from '../../src/sandbox/kubernetes-api/server.ts';
import { createSecret } from '../../src/secret.ts';
import { ask, createTierNamespace, textOf } from '../issue/issuer-world.ts';

const adminToken = 'admin-token';

const document = `
- {name: free, level: 0, groups: [system:authenticated], limits: {requests: [{limit: 5, window: 2m}]}}
`;

const processFile = `
limits: {store: memory}
issuer: {listeners: {http: {address: "127.0.0.1:0"}, ops: {address: "127.0.0.1:0"}}}
# Nothing is slow here but a machine that compiles something else meanwhile.
reviews: {timeout: 20s}
`;

/** Starts parts and remembers how to end them, as a program's does. */
function createParts(logLines: string[]) {
  const log = createLog({ level: 'info', write: (line) => void logLines.push(line), now: Date.now });
  const events = createEvents(log);
  return {
    log,
    events,
    lifecycle: createLifecycle({ stopTimeoutMs: 5_000, events, now: () => performance.now() }),
  };
}

describe('the issuer as a program', () => {
  let kube: KubernetesApi;
  let lifecycle: Lifecycle;
  let issuer: RunningIssuer;
  let connection: Connection;
  const logLines: string[] = [];

  beforeAll(async () => {
    kube = createKubernetesApi({
      users: [
        { token: adminToken, username: 'admin', groups: ['system:masters'] },
        { token: 'bob-token', username: 'bob' },
      ],
    });
    const { url } = await kube.start();
    await createTierNamespace({ url, adminToken }, 'free');
    for (const name of ['tiergate', 'llm']) {
      kube.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    }
    kube.apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'tier-to-group-mapping', namespace: 'tiergate' },
      data: { tiers: document },
    });
    const parts = createParts(logLines);
    ({ lifecycle } = parts);
    const config = parseConfig(processFile, { file: 'test', folder: '.' });
    connection = createFixedConnection({
      server: url,
      token: createSecret(adminToken),
      namespace: 'tiergate',
    });
    issuer = await startIssuer({ ...parts, config, droppedLogLines: () => 0 }, { connection });
  });

  afterAll(async () => {
    await lifecycle.stop('test');
    await kube.stop();
  });

  it('mints by the policy of the ConfigMap', async () => {
    const minted = await ask(issuer, { token: 'bob-token', method: 'POST', path: '/v1/tokens' });
    expect(minted).toMatchObject({ status: 201, body: { tier: 'free', expiration: '4h0m0s' } });
    const usage = await ask(issuer, { token: minted.body['token'], path: '/v1/usage' });
    expect(usage.body).toMatchObject({ user: 'bob', windows: [{ limit: 5, used: 0 }] });
  });

  it('is ready, and counts what it does', async () => {
    const ops = { url: issuer.opsUrl };
    await ask(issuer, { token: 'bob-token', method: 'DELETE', path: '/v1/tokens/nothing' });
    expect(await ask(ops, { path: '/readyz' })).toMatchObject({
      status: 200,
      body: { status: 'ready', parts: { policy: { state: 'ready' }, http: { state: 'ready' } } },
    });
    const text = textOf((await ask(ops, { path: '/metrics' })).body['text']);
    expect(text).toMatch(/tiergate_issuer_actions_total\{action="mint",outcome="done"\} [1-9]/);
    expect(text).toContain('tiergate_issuer_actions_total{action="revoke",outcome="token_unknown"} 1');
    expect(text).toContain(
      'tiergate_issuer_requests_total{method="DELETE",route="/v1/tokens/:id",status="404"} 1',
    );
    expect(text).toContain('tiergate_issuer_leader 1');
    expect(text).not.toContain('bob');
  });

  it('lists models as soon as they are watched, and says so where they can not be', async () => {
    const report = (await ask({ url: issuer.opsUrl }, { path: '/readyz' })).body;
    expect(report['parts']?.['models']).toMatchObject({ state: 'ready' });
    const { status, body } = await ask(issuer, { token: 'bob-token', path: '/v1/models' });
    expect({ status, body }).toEqual({ status: 200, body: { object: 'list', data: [] } });
  });

  it('takes the models of a file where one is named, and follows it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tiergate-models-'));
    const modelsFile = join(folder, 'models.yaml');
    writeFileSync(modelsFile, '- {namespace: llm, name: llama}');
    const config = parseConfig(processFile.replace('issuer: {', 'issuer: {modelsFile: models.yaml, '), {
      file: 'test',
      folder,
    });
    const parts = createParts([]);
    const other = await startIssuer({ ...parts, config, droppedLogLines: () => 0 }, { connection });
    const idsFor = async (): Promise<readonly unknown[]> => {
      const { body } = await ask(other, { token: adminToken, path: '/v1/models' });
      return (body['data'] as unknown as readonly { readonly id: unknown }[]).map(({ id }) => id);
    };
    const state = async () =>
      (await ask({ url: other.opsUrl }, { path: '/readyz' })).body['parts']?.['models'];
    try {
      for (const name of ['llama', 'qwen']) grant(name);
      expect(await idsFor()).toEqual(['llama']);
      writeFileSync(modelsFile, '- {namespace: llm, name: llama}\n- {namespace: llm, name: qwen}');
      await expect.poll(idsFor).toEqual(['llama', 'qwen']);
      writeFileSync(modelsFile, 'nothing of this kind');
      await expect.poll(state).toMatchObject({ state: 'degraded' });
      expect(await idsFor()).toEqual(['llama', 'qwen']);
    } finally {
      await parts.lifecycle.stop('test');
      rmSync(folder, { recursive: true });
    }
  });

  /** Lets every tier of this instance use the model. */
  function grant(name: string): void {
    const group = 'rbac.authorization.k8s.io';
    const metadata = { name, namespace: 'llm' };
    const resources = ['llminferenceservices'];
    const rules = [{ apiGroups: ['serving.kserve.io'], resources, resourceNames: [name], verbs: ['post'] }];
    kube.apply({ apiVersion: `${group}/v1`, kind: 'Role', metadata, rules });
    kube.apply({
      apiVersion: `${group}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: group, kind: 'Role', name },
      subjects: [{ apiGroup: group, kind: 'Group', name: 'system:serviceaccounts' }],
    });
  }

  it('writes an audit record for each mint, whatever the level of the log', () => {
    const record = logLines.find((line) => line.includes('token_audit'));
    expect(JSON.parse(record ?? '')).toMatchObject({
      event: 'token_audit',
      action: 'mint',
      actor: 'bob',
      user: 'bob',
      outcome: 'done',
    });
  });

  it('gives the Lease back when it stops', async () => {
    await lifecycle.stop('test');
    const lease = kube.find({
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'tiergate-issuer', namespace: 'tiergate' },
    });
    expect(lease).toMatchObject({ spec: { holderIdentity: '' } });
    await expect(ask(issuer, { path: '/health' })).rejects.toThrow();
  });
});
