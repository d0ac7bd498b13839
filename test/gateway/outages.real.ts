import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ownUsers } from '../../src/sandbox/seed.ts';
import type { Envoy } from '../real/envoy.ts';
import { type HttpFault, type HttpFaultProxy, startHttpFaultProxy } from '../real/http-fault-proxy.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { issue, setUnlimited } from './issued.ts';
import { type Answered, chat } from './send.ts';

let installation: Installation;
let proxy: HttpFaultProxy;
let authorizer: Authorizer;
let envoy: Envoy;

const ttlMs = 1_500;
const staleMs = 3_000;

beforeAll(async () => {
  installation = await startInstallation();
  await setUnlimited(installation);
  proxy = await startHttpFaultProxy(installation.kube);
  const kubeconfig = await installation.kube.writeKubeconfig(ownUsers.authorizer.token, proxy.url);
  authorizer = await installation.startAuthorizer({
    kubeconfig,
    config: `
identity: {ttl: ${ttlMs}ms, staleIfError: ${staleMs}ms}
access: {allowTtl: ${ttlMs}ms}
`,
  });
  envoy = await installation.startGateway(authorizer, { failureModeAllow: true });
});

afterEach(() => proxy.become('pass'));

afterAll(async () => {
  await installation.stop();
  await proxy.stop();
});

function outcome({ status, headers, error }: Answered) {
  return { status, reason: error?.['reason'], retryAfter: Number(headers['retry-after']) >= 1 };
}

const unavailable = (what: string) => ({ status: 503, reason: what, retryAfter: true });

async function kubernetesState(): Promise<string | undefined> {
  const { parts } = (await (await fetch(`${authorizer.opsUrl}/readyz`)).json()) as {
    readonly parts: Readonly<Record<string, { readonly state: string }>>;
  };
  return parts['kubernetes']?.state;
}

const faults: readonly HttpFault[] = ['stopped', 'slow', 401, 403, 429, 500, 'garbage', 'half'];

/** Envoy's own time-out, whose answer has no body. */
const envoyTimeoutMs = 1_000;

describe.each(faults)('an API server that is or answers %s', (fault) => {
  it('stops nobody who is known until the stated end, and tells nobody else that they are wrong', async () => {
    const [known] = await issue(installation, `known-${fault}@example.com`);
    const [unknown] = await issue(installation, `unknown-${fault}@example.com`);
    const other = '/llm/qwen-large/v1/chat/completions';
    expect((await chat(envoy.port, known.token)).status).toBe(200);
    const knownAtMs = performance.now();
    // Both Secrets are in the store by now: what fails from here on are reviews.
    await sleep(100);
    proxy.become(fault);
    expect((await chat(envoy.port, known.token)).status).toBe(200);
    const cold = await Promise.all([chat(envoy.port, unknown.token), chat(envoy.port, known.token, other)]);
    expect(outcome(cold[0])).toEqual(unavailable('identity_unavailable'));
    expect(outcome(cold[1])).toEqual(unavailable('access_unavailable'));
    for (const { durationMs } of cold) expect(durationMs).toBeLessThan(envoyTimeoutMs);
    if (fault !== 'slow') expect(await kubernetesState()).toBe('degraded');

    await sleep(Math.max(0, knownAtMs + ttlMs + 200 - performance.now()));
    const stale = await chat(envoy.port, known.token);
    // Refused *us*: our own misconfiguration, which nothing stale may hide.
    const isOurs = fault === 401 || fault === 403;
    if (isOurs) expect(outcome(stale)).toEqual(unavailable('identity_unavailable'));
    else expect(stale.status).toBe(200);

    await sleep(Math.max(0, knownAtMs + ttlMs + staleMs + 300 - performance.now()));
    const ended = await chat(envoy.port, known.token);
    expect(ended.status).toBe(503);
    expect(ended.durationMs).toBeLessThan(envoyTimeoutMs);

    proxy.become('pass');
    const backAtMs = performance.now();
    await expect
      .poll(async () => (await chat(envoy.port, unknown.token)).status, { timeout: 8_000, interval: 50 })
      .toBe(200);
    console.log(`${fault}: service again ${(performance.now() - backAtMs).toFixed(0)} ms after its end`);
    // A question from before may still be under way, to its own time-out.
    await expect
      .poll(async () => (await chat(envoy.port, known.token)).status, { timeout: 4_000, interval: 50 })
      .toBe(200);
    await expect.poll(kubernetesState, { timeout: 4_000 }).toBe('ready');
  });
});
