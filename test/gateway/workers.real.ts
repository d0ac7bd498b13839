import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Envoy } from '../real/envoy.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { accountsPath, issue } from './issued.ts';
import { chat, outcome } from './send.ts';

let installation: Installation;
let authorizer: Authorizer;
/** Each has a connection of its own, and connections are shared out in turn: one gateway a worker. */
let gateways: readonly Envoy[];

beforeAll(async () => {
  installation = await startInstallation();
  authorizer = await installation.startAuthorizer({
    config: 'workers: 2\nlog: {decisions: all}',
    deadlineMs: 5_000,
  });
  gateways = await Promise.all([1, 2].map(() => installation.startGateway(authorizer, { timeoutMs: 8_000 })));
});

afterAll(() => installation.stop());

interface Ready {
  readonly status: string;
  readonly workers: readonly { readonly worker: number; readonly pid: number }[];
}

async function readyz(): Promise<Ready> {
  return (await (await fetch(`${authorizer.opsUrl}/readyz`)).json()) as Ready;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${authorizer.opsUrl}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  if (lines.length === 0) throw new Error(`no metric ${name}`);
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** What each gateway answers; the reason too where it is a denial. */
async function answers(token: string): Promise<readonly string[]> {
  return Promise.all(
    gateways.map(async ({ port }) => {
      const { status, reason } = outcome(await chat(port, token));
      return [status, reason ?? []].flat().join(' ');
    }),
  );
}

/** By the worker that decided. */
async function decisions(of = authorizer): Promise<ReadonlyMap<number, number>> {
  const counts = new Map<number, number>();
  for (const line of (await of.log()).split('\n')) {
    if (!line.includes('"event":"decision"')) continue;
    const { worker } = JSON.parse(line) as { readonly worker: number };
    counts.set(worker, (counts.get(worker) ?? 0) + 1);
  }
  return counts;
}

/** On a connection of its own. */
function askSocket(socketPath: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, path: '/llm/llama/v1/models', agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    asking.on('error', reject);
    asking.end();
  });
}

const revoked = ['401 token_revoked', '401 token_revoked'];

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('an authorizer of two workers', () => {
  it('lets exactly twenty of a crowd pass, whichever worker decides', async () => {
    const [{ token }] = await issue(installation, 'crowd@example.com', { tier: 'premium' });
    const crowd = Array.from({ length: 100 }, (_, index) => chat(gateways[index % 2]?.port ?? 0, token));
    const passed = (await Promise.all(crowd)).filter(({ status }) => status === 200);
    expect(passed).toHaveLength(20);
    await vi.waitFor(async () => {
      const byWorker = await decisions();
      expect(new Set(byWorker.keys())).toEqual(new Set([1, 2]));
      expect(Math.min(...byWorker.values())).toBeGreaterThan(20);
    }, 5_000);
  });

  it('tells Prometheus of both as one', async () => {
    const [before, { workers }] = [await metric('tiergate_checks_total'), await readyz()];
    const [{ token }] = await issue(installation, 'counted@example.com', { tier: 'premium' });
    expect(await answers(token)).toEqual(['200', '200']);
    expect(await metric('tiergate_checks_total')).toBe(before + 2);
    expect(await metric('tiergate_workers_ready')).toBe(2);
    expect(await metric('tiergate_ready')).toBe(1);
    expect(workers.map(({ worker }) => worker)).toEqual([1, 2]);
  });

  it('refuses with both whoever was deleted, though one process alone watches', async () => {
    const [{ token, account }] = await issue(installation, 'gone@example.com', { tier: 'premium' });
    expect(await answers(token)).toEqual(['200', '200']);
    await installation.kube.client().delete(`${accountsPath('premium')}/${account}`);
    // The API server goes on calling it authenticated for ten seconds.
    await vi.waitFor(async () => expect(await answers(token)).toEqual(revoked), 2_000);
  });

  it('goes on with the other when one is killed, and the one that takes its place knows what is so', async () => {
    const [{ token, account }] = await issue(installation, 'killed@example.com', { tier: 'premium' });
    expect(await answers(token)).toEqual(['200', '200']);
    const [first] = (await readyz()).workers;
    process.kill(first?.pid ?? 0, 'SIGKILL');
    await vi.waitFor(async () => expect(await metric('tiergate_workers_ready')).toBe(1), 5_000);
    await installation.kube.client().delete(`${accountsPath('premium')}/${account}`);
    const [{ token: other }] = await issue(installation, 'other@example.com', { tier: 'premium' });
    await vi.waitFor(async () => expect(await answers(other)).toEqual(['200', '200']), 5_000);
    await vi.waitFor(async () => expect(await metric('tiergate_workers_ready')).toBe(2), {
      timeout: 20_000,
      interval: 100,
    });
    expect((await readyz()).workers[0]?.pid).not.toBe(first?.pid);
    expect(await answers(token)).toEqual(revoked);
    expect(await metric('tiergate_worker_restarts_total')).toBe(1);
    expect(await authorizer.log()).toContain('"event":"worker_gone"');
  });

  it('ends all its processes when it is told to stop', async () => {
    const { workers } = await readyz();
    await authorizer.stop();
    const lines = (await authorizer.log()).split('\n');
    expect(lines.filter((line) => line.includes('"event":"stopped"'))).toHaveLength(3);
    expect(workers.filter(({ pid }) => isAlive(pid))).toEqual([]);
  });

  it('leaves no worker behind when it is killed', async () => {
    const next = await installation.startAuthorizer({ config: 'workers: 2' });
    const { workers } = (await (await fetch(`${next.opsUrl}/readyz`)).json()) as Ready;
    expect(workers.filter(({ pid }) => isAlive(pid))).toHaveLength(2);
    await next.kill();
    for (let tries = 0; tries < 50 && workers.some(({ pid }) => isAlive(pid)); tries += 1) await sleep(100);
    expect(workers.filter(({ pid }) => isAlive(pid))).toEqual([]);
  });

  it('shares a Unix socket of the HTTP door, and takes over the one that a killed process left', async () => {
    const socketPath = join(await mkdtemp(join(tmpdir(), 'tiergate-workers-')), 'check.sock');
    const options = {
      config: 'workers: 2\nlog: {decisions: all}',
      http: 'profile: envoy',
      httpAddress: `unix:${socketPath}`,
    };
    const first = await installation.startAuthorizer(options);
    await first.kill();
    const second = await installation.startAuthorizer(options);
    const asked = await Promise.all(Array.from({ length: 20 }, () => askSocket(socketPath)));
    expect(new Set(asked)).toEqual(new Set([401]));
    await vi.waitFor(async () => expect([...(await decisions(second)).keys()]).toHaveLength(2), 5_000);
    await second.stop();
    expect(existsSync(socketPath)).toBe(false);
  });

  it('does not start where its workers can not', async () => {
    const taken = { config: 'workers: 2', port: installation.modelPort };
    await expect(installation.startAuthorizer(taken)).rejects.toThrow(
      /is taken: another program[^]*ended with code 69 before it was ready/u,
    );
  });
});
