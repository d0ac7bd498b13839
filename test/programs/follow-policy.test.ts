import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createKubernetesClient, type KubernetesRequest } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { parseConfig } from '../../src/process/config.ts';
import { createEvents } from '../../src/process/events.ts';
import { createLifecycle } from '../../src/process/lifecycle.ts';
import { createLog } from '../../src/process/log.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import { createReadiness } from '../../src/process/readiness.ts';
import { startPolicy } from '../../src/programs/follow-policy.ts';
import { createSecret } from '../../src/secret.ts';
import { startEmbeddedApi } from '../sandbox/embedded-api.ts';

const tiers = (limit: number) =>
  `- {name: free, groups: [everybody], limits: {requests: [{limit: ${limit}, window: 2m}]}}`;

const place = '/api/v1/namespaces/tiergate/configmaps/tier-to-group-mapping';

/** An API server with a policy document, and a program that follows it. */
async function start(policy = '{}') {
  const { api, port, admin, adminToken } = await startEmbeddedApi();
  api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'tiergate' } });
  const write = (data: Readonly<Record<string, string>>) =>
    api.apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'tier-to-group-mapping', namespace: 'tiergate' },
      data,
    });
  write({ tiers: tiers(5) });
  const lines: string[] = [];
  const log = createLog({ level: 'info', write: (line) => void lines.push(line), now: Date.now });
  const events = createEvents(log);
  const lifecycle = createLifecycle({ stopTimeoutMs: 5_000, events, now: () => performance.now() });
  const metrics = createMetrics({ version: 'test', now: Date.now, processMetrics: false });
  const health = createReadiness<'policy'>({ gating: ['policy'], others: [] });
  const client = createKubernetesClient({
    connection: createFixedConnection({
      server: `http://127.0.0.1:${port}`,
      token: createSecret(adminToken),
      namespace: 'tiergate',
    }),
    timeoutMs: 2_000,
  });
  const posted: KubernetesRequest[] = [];
  const source = await startPolicy(
    {
      config: parseConfig(`{limits: {store: memory}, policy: ${policy}}`, { file: 'test', folder: '.' }),
      lifecycle,
      log,
      events,
      droppedLogLines: () => 0,
    },
    {
      client: {
        ...client,
        async request(request) {
          if (request.method !== 'POST') return client.request(request);
          posted.push(request);
          return { status: 201, body: {} };
        },
      },
      metrics,
      health,
      writesEvents: true,
    },
  );
  onTestFinished(async () => {
    await lifecycle.stop('test');
    client.close();
  });
  const limit = () => source.current().tiers[0]?.windows[0]?.limit;
  return {
    source,
    write,
    remove: () => admin('DELETE', place),
    limit,
    isLimit: (wanted: number) => expect.poll(limit, { timeout: 3_000, interval: 5 }).toBe(wanted),
    part: () => health.report().parts['policy'],
    metric: async (name: string) =>
      (await metrics.text())
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')[1],
    lines,
    posted,
    client,
  };
}

describe('the policy of a ConfigMap', () => {
  it('is another one as soon as the ConfigMap is', async () => {
    const { write, isLimit, metric, source } = await start();
    const heard: number[] = [];
    source.onChange((policy) => void heard.push(policy.tiers[0]?.windows[0]?.limit ?? 0));
    for (const limit of [50, 3]) {
      write({ tiers: tiers(limit) });
      await isLimit(limit);
    }
    expect(heard).toEqual([50, 3]);
    expect(await metric('tiergate_policy_generation')).toBe('3');
    expect(await metric('tiergate_policy_last_load_refused')).toBe('0');
  });

  it('stays as it is where a new one is broken, which log, metric, /readyz and an Event say with its line', async () => {
    const { write, limit, isLimit, part, metric, lines, posted } = await start();
    write({ tiers: `${tiers(50)}\n- {name: Free!, groups: []}` });
    await expect.poll(() => part()?.state, { timeout: 3_000 }).toBe('degraded');
    expect(limit()).toBe(5);
    const words = expect.stringMatching(/refused: line 2, tiers\[1\]\.name: .*generation 1 stays in force/);
    expect(part()).toEqual({ state: 'degraded', detail: words });
    expect(await metric('tiergate_policy_last_load_refused')).toBe('1');
    const refused = lines.find((line) => line.includes('policy_refused')) ?? '';
    expect(JSON.parse(refused)).toMatchObject({ mistakes: [{ path: 'tiers[1].name', line: 2 }] });
    await expect.poll(() => posted).toHaveLength(1);
    expect(posted[0]).toMatchObject({
      path: '/api/v1/namespaces/tiergate/events',
      body: { reason: 'PolicyRefused', message: words, involvedObject: { name: 'tier-to-group-mapping' } },
    });

    write({ tiers: tiers(7) });
    await isLimit(7);
    expect(part()).toEqual({ state: 'ready' });
    expect(await metric('tiergate_policy_last_load_refused')).toBe('0');
  });

  it('is the one of before when a broken document is taken back', async () => {
    const { write, part, limit } = await start();
    write({ tiers: 'nonsense' });
    await expect.poll(() => part()?.state, { timeout: 3_000 }).toBe('degraded');
    write({ tiers: tiers(5) });
    await expect.poll(() => part()?.state, { timeout: 3_000 }).toBe('ready');
    expect(limit()).toBe(5);
  });

  it('outlives its ConfigMap, and takes the one that comes next', async () => {
    const { remove, write, part, limit, isLimit } = await start();
    await remove();
    await expect.poll(() => part()?.state, { timeout: 3_000 }).toBe('degraded');
    expect(part()).toMatchObject({ detail: expect.stringContaining('does not exist any more') });
    expect(limit()).toBe(5);
    write({ tiers: tiers(9) });
    await isLimit(9);
    expect(part()).toEqual({ state: 'ready' });
  });

  it('takes no notice of a ConfigMap that has changed in nothing but its labels', async () => {
    const { write, metric, isLimit } = await start();
    write({ tiers: tiers(5) });
    write({ tiers: tiers(6) });
    await isLimit(6);
    expect(await metric('tiergate_policy_generation')).toBe('2');
  });
});

describe('the policy of a file', () => {
  it('is another one as soon as the file is, and stays as it is where that is broken', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'policy-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'policy.yaml');
    await writeFile(path, tiers(5));
    const { isLimit, limit, part, posted } = await start(`{file: ${path}}`);
    await writeFile(path, tiers(50));
    await isLimit(50);
    await writeFile(path, `${tiers(60)}\n- {name: gold, levle: 3}`);
    await expect.poll(() => part()?.state, { timeout: 3_000 }).toBe('degraded');
    expect(part()).toMatchObject({ detail: expect.stringContaining('line 2') });
    expect(limit()).toBe(50);
    await rm(path);
    await expect
      .poll(() => part(), { timeout: 3_000 })
      .toMatchObject({ detail: expect.stringContaining('can not be read any more (ENOENT)') });
    await writeFile(path, tiers(70));
    await isLimit(70);
    expect(part()).toEqual({ state: 'ready' });
    expect(posted).toEqual([]);
  });
});
