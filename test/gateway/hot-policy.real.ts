import { execFileSync } from 'node:child_process';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Envoy } from '../real/envoy.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { chat } from './send.ts';

let installation: Installation;
let authorizer: Authorizer;
let envoy: Envoy;

beforeAll(async () => {
  installation = await startInstallation();
  authorizer = await installation.startAuthorizer();
  envoy = await installation.startGateway(authorizer);
});

afterAll(() => installation.stop());

const eventsPath = '/api/v1/namespaces/tiergate/events';

const place = '/api/v1/namespaces/tiergate/configmaps/tier-to-group-mapping';

/** Tiers with a limit of requests in two minutes for `premium`; resolves with the API server's answer. */
async function writePolicy(tiers: string): Promise<void> {
  const { body } = await installation.kube.client().get(place);
  const { status } = await installation.kube.client().put(place, { ...(body as object), data: { tiers } });
  expect(status).toBe(200);
}

const premium = (limit: number) => `
- {name: free, groups: [system:authenticated], limits: {requests: [{limit: 5, window: 2m}]}}
- {name: premium, level: 10, groups: [tier-premium-users], limits: {requests: [{limit: ${limit}, window: 2m}]}}
- {name: enterprise, level: 20, groups: [], limits: {requests: [{limit: 50, window: 2m}]}}
`;

const readyz = async ({ opsUrl }: Authorizer) => {
  const answer = await fetch(`${opsUrl}/readyz`);
  return { status: answer.status, text: await answer.text() };
};

const metrics = async ({ opsUrl }: Authorizer) => (await fetch(`${opsUrl}/metrics`)).text();

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

const limitOf = async (token: string) =>
  (await chat(envoy.port, token)).headers['x-ratelimit-limit-requests'];

describe('a limit in the ConfigMap', () => {
  it('holds for the next request after it was raised or lowered, with what was counted', async () => {
    const raisedMs: number[] = [];
    const loweredMs: number[] = [];
    /** Milliseconds from the API server's answer until a request is answered so. */
    const until = async (token: string, status: number): Promise<number> => {
      const changedAtMs = performance.now();
      while ((await chat(envoy.port, token)).status !== status) {
        expect(performance.now() - changedAtMs).toBeLessThan(5_000);
      }
      return performance.now() - changedAtMs;
    };
    for (let round = 0; round < 15; round += 1) {
      await writePolicy(premium(3));
      const token = await installation.mint(`noon-${round}@example.com`, 'premium');
      await expect.poll(() => limitOf(token), { interval: 5 }).toBe('3');
      await until(token, 429);
      await writePolicy(premium(10_000));
      raisedMs.push(await until(token, 200));
      await writePolicy(premium(3));
      loweredMs.push(await until(token, 429));
    }
    const words = (times: readonly number[]) =>
      `median ${median(times).toFixed(1)} ms, most ${Math.max(...times).toFixed(1)} ms`;
    console.log(`from the API server's answer: raised ${words(raisedMs)}; lowered ${words(loweredMs)}`);
    expect(median(raisedMs)).toBeLessThan(1_000);
    expect(median(loweredMs)).toBeLessThan(1_000);
  });
});

describe('a broken document in the ConfigMap', () => {
  it('changes nothing, and is named by line in metric, log, /readyz and Event', async () => {
    await writePolicy(premium(50));
    const token = await installation.mint('steady@example.com', 'premium');
    await expect.poll(() => limitOf(token), { interval: 20 }).toBe('50');
    await writePolicy(premium(20).replace('window: 2m}]}}\n- {name: ent', 'window: 2}]}}\n- {name: ent'));
    await expect.poll(() => metrics(authorizer)).toContain('tiergate_policy_last_load_refused 1');
    const line = 'line 3, tiers[1].limits.requests[0].window';
    expect(await limitOf(token)).toBe('50');
    const { status, text } = await readyz(authorizer);
    expect(status).toBe(200);
    expect(text).toContain(line);
    expect(await authorizer.log()).toMatch(/"policy_refused".*"tiers\[1\]\.limits\.requests\[0\]\.window"/);
    const events = async () => JSON.stringify((await installation.kube.client().get(eventsPath)).body);
    await expect.poll(events).toContain(line);
    expect(await events()).toContain('PolicyRefused');

    await writePolicy(premium(60));
    await expect.poll(() => limitOf(token), { interval: 20 }).toBe('60');
    expect((await readyz(authorizer)).text).not.toContain(line);
  });

  it('stays in force when the ConfigMap is deleted', async () => {
    const token = await installation.mint('orphan@example.com', 'premium');
    const { body } = await installation.kube.client().get(place);
    await installation.kube.client().delete(place);
    await expect.poll(async () => (await readyz(authorizer)).text).toContain('does not exist any more');
    expect(await limitOf(token)).toBe('60');
    const { data, metadata } = body as {
      readonly data: object;
      readonly metadata: { readonly name: string };
    };
    await installation.kube.client().post(dirname(place), {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: metadata.name },
      data,
    });
    await expect.poll(async () => (await readyz(authorizer)).text).not.toContain('does not exist any more');
  });
});

describe('a policy file', () => {
  it('is followed through rename, sed -i and the swapped symlink of a mounted ConfigMap', async () => {
    const own = await installation.startAuthorizer({ policy: premium(7) });
    const gateway = await installation.startGateway(own);
    const token = await installation.mint('file@example.com', 'premium');
    const isLimit = (limit: string) =>
      expect
        .poll(async () => (await chat(gateway.port, token)).headers['x-ratelimit-limit-requests'], {
          interval: 20,
          timeout: 3_000,
        })
        .toBe(limit);
    await isLimit('7');
    const path = own.policyFile;
    await writeFile(`${path}.new`, premium(101));
    await rename(`${path}.new`, path);
    await isLimit('101');
    execFileSync('sed', ['-i', 's/limit: 101,/limit: 102,/', path]);
    await isLimit('102');

    const mount = async (version: string, limit: number) => {
      const folder = join(`${path}.d`, version);
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, 'tiers'), premium(limit));
      await symlink(version, join(`${path}.d`, '..data_tmp'));
      await rename(join(`${path}.d`, '..data_tmp'), join(`${path}.d`, '..data'));
    };
    await mount('..1', 103);
    await symlink(join(`${path}.d`, '..data', 'tiers'), `${path}.link`);
    await rename(`${path}.link`, path);
    await isLimit('103');
    await mount('..2', 104);
    await rm(join(`${path}.d`, '..1'), { recursive: true });
    await isLimit('104');
    await writeFile(`${path}.new`, 'tiers: [');
    await rename(`${path}.new`, path);
    await expect.poll(() => metrics(own)).toContain('tiergate_policy_last_load_refused 1');
    await isLimit('104');
    await own.stop();
  });
});
