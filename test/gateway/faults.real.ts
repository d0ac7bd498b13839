import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Envoy } from '../real/envoy.ts';
import { startFaultProxy } from '../real/fault-proxy.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { type Answered, chat, denial, outcome, send } from './send.ts';

let installation: Installation;
let authorizer: Authorizer;

beforeAll(async () => {
  installation = await startInstallation();
  authorizer = await installation.startAuthorizer();
});

afterAll(() => installation.stop());

afterEach(async () => {
  await installation.kubeProxy.pass();
  await installation.redisProxy.pass();
  await redisIsBack();
});

async function redisIsBack(): Promise<void> {
  await expect
    .poll(async () => (await fetch(`${authorizer.opsUrl}/metrics`)).text(), { timeout: 5_000 })
    .toContain('tiergate_redis_up 1');
}

/** Below Envoy's own time-out of 1 s, whose answer has no body: what says 503 here is ours. */
const envoyTimeoutMs = 1_000;

describe.each([{ failureModeAllow: false }, { failureModeAllow: true }])(
  'with failure_mode_allow $failureModeAllow',
  ({ failureModeAllow }) => {
    let envoy: Envoy;
    const person = (name: string) => `${name}-${failureModeAllow}@example.com`;

    beforeAll(async () => {
      envoy = await installation.startGateway(authorizer, { failureModeAllow });
    });

    /** What premium (20 requests) gets of twelve while Redis is away; its share is ten, as two processes are expected. */
    describe.each([
      { policy: 'deny', passed: 0, reason: 'limit_unavailable' },
      { policy: 'local', passed: 10, reason: 'requests_exceeded' },
      { policy: 'allow', passed: 12, reason: undefined },
    ])('while Redis is away, $policy', ({ policy, passed, reason }) => {
      let own: Authorizer;
      let gateway: Envoy;

      beforeAll(async () => {
        const config = `limits: {onStoreUnavailable: ${policy}, expectedReplicas: 2}`;
        own = await installation.startAuthorizer({ config });
        gateway = await installation.startGateway(own, { failureModeAllow });
      });
      afterAll(() => own.kill());

      it.each(['refuse', 'hang'] as const)(
        'holds within the deadline (%s), and ends when it is back',
        async (fault) => {
          const remaining = (answer: Answered) => answer.headers['x-ratelimit-remaining-requests'];
          const token = await installation.mint(person(`redis-${policy}-${fault}`), 'premium');
          expect(remaining(await chat(gateway.port, token))).toBe('19');
          await installation.redisProxy[fault]();
          const answers: Answered[] = [];
          for (let count = 0; count < 12; count += 1) answers.push(await chat(gateway.port, token));
          // Only what is under way when it begins to hang waits for the time-out of a command.
          const waited = answers.filter(({ durationMs }) => durationMs >= 250);
          expect(waited.length).toBeLessThanOrEqual(1);
          expect(Math.max(...answers.map(({ durationMs }) => durationMs))).toBeLessThan(envoyTimeoutMs);
          expect(answers.map(({ status }) => status === 200)).toEqual(answers.map((_, at) => at < passed));
          for (const { status, headers } of answers.slice(passed)) {
            expect(headers['x-tiergate-reason']).toBe(reason);
            if (status === 503) expect(headers['retry-after']).toBe('1');
          }
          await installation.redisProxy.pass();
          const backAtMs = performance.now();
          // Nobody asked for them before: what remains tells who counts.
          const isBack = async () => remaining(await chat(gateway.port, await freshToken(policy))) === '19';
          await expect.poll(isBack, { interval: 50, timeout: 5_000 }).toBe(true);
          expect(performance.now() - backAtMs).toBeLessThan(1_500);
          // Before the outage one; of what passed during it, Redis was told where it was counted.
          const used = 1 + (policy === 'local' ? passed : 0);
          // It is told four times a second.
          await sleep(1_000);
          expect(remaining(await chat(gateway.port, token))).toBe(String(20 - used - 1));
        },
      );
    });

    let fresh = 0;
    const freshToken = (of: string) => installation.mint(person(`fresh-${of}-${(fresh += 1)}`), 'premium');

    it('decides also for a process that was started without Redis', async () => {
      await installation.redisProxy.refuse();
      const own = await installation.startAuthorizer();
      const gateway = await installation.startGateway(own, { failureModeAllow });
      const token = await installation.mint(person('started-without'), 'premium');
      const statuses: number[] = [];
      for (let count = 0; count < 22; count += 1) statuses.push((await chat(gateway.port, token)).status);
      expect(statuses.filter((status) => status === 200)).toHaveLength(20);
      expect(statuses.filter((status) => status === 429)).toHaveLength(2);
      const metrics = await (await fetch(`${own.opsUrl}/metrics`)).text();
      expect(metrics).toContain('tiergate_limit_without_store_total{answer="local_admitted"} 20');
      expect(metrics).toContain('tiergate_limit_without_store_total{answer="local_denied"} 2');
      await own.kill();
    });

    it('goes on for known tokens while the API server is away, and tells nobody else that they are wrong', async () => {
      const known = await installation.mint(person('known'), 'premium');
      const unknown = await installation.mint(person('unknown'), 'premium');
      expect((await chat(envoy.port, known)).status).toBe(200);
      installation.modelRequests.length = 0;
      await installation.kubeProxy.refuse();
      expect((await chat(envoy.port, known)).status).toBe(200);
      const answer = await chat(envoy.port, unknown);
      expect(outcome(answer)).toEqual(denial(503, 'identity_unavailable'));
      expect(answer.headers['retry-after']).toBe('1');
      // A model that the known one never asked for can not be told either.
      const other = await chat(envoy.port, known, '/llm/qwen-large/v1/chat/completions');
      expect(outcome(other)).toEqual(denial(503, 'access_unavailable'));
      expect(installation.modelRequests).toHaveLength(1);
      const readiness = (await (await fetch(`${authorizer.opsUrl}/readyz`)).json()) as object;
      expect(readiness).toMatchObject({ status: 'ready', parts: { kubernetes: { state: 'degraded' } } });
      await installation.kubeProxy.pass();
      expect((await chat(envoy.port, unknown)).status).toBe(200);
    });

    it.each([{ fault: 'slow' as const }, { fault: 'hang' as const }])(
      'answers before Envoy gives up when the API server is too $fault, and lets nobody through undecided',
      async ({ fault }) => {
        const unknown = await installation.mint(person(`kube-${fault}`), 'premium');
        installation.modelRequests.length = 0;
        await (fault === 'slow' ? installation.kubeProxy.slow(1_500) : installation.kubeProxy.hang());
        const answer = await chat(envoy.port, unknown);
        expect(outcome(answer)).toEqual(denial(503, 'identity_unavailable'));
        expect(answer.durationMs).toBeLessThan(envoyTimeoutMs);
        expect(installation.modelRequests).toEqual([]);
        await installation.kubeProxy.pass();
        // The slow review went on and filled the cache; the one that hung is given up after its own time-out.
        await expect
          .poll(async () => (await chat(envoy.port, unknown)).status, { timeout: 8_000, interval: 200 })
          .toBe(200);
      },
    );

    it('leaves a request to Envoy only when the authorizer itself is gone', async () => {
      const token = await installation.mint(person('stopped'), 'premium');
      const own = await installation.startAuthorizer();
      const gateway = await installation.startGateway(own, { failureModeAllow });
      expect((await chat(gateway.port, token)).status).toBe(200);
      await own.kill();
      const answer = await chat(gateway.port, token);
      // This is what the setting means, and why deploy/ pins it to false.
      expect(answer.status).toBe(failureModeAllow ? 200 : 503);
      expect(answer.headers).not.toHaveProperty('x-tiergate-reason');
    });

    it('charges a Check that Envoy asks again only once', async () => {
      const token = await installation.mint(person('retried'), 'premium');
      const between = await startFaultProxy(authorizer.port);
      const retrying = await installation.startGateway(between, {
        failureModeAllow,
        retry: { attempts: 2, on: 'unavailable,cancelled,reset,internal' },
        timeoutMs: 10_000,
      });
      const charged = async () => {
        const text = await (await fetch(`${authorizer.opsUrl}/metrics`)).text();
        return text.split('\n').find((line) => /^tiergate_checks_total\{.*result="allowed"/u.test(line));
      };
      const remaining = async () =>
        Number((await chat(retrying.port, token)).headers['x-ratelimit-remaining-requests']);
      expect(await remaining()).toBe(19);
      // The first try is charged; its answer is lost with the connection, so that Envoy asks again.
      const before = await charged();
      await between.slow(8_000);
      const retried = chat(retrying.port, token);
      await expect.poll(charged, { interval: 20, timeout: 5_000 }).not.toBe(before);
      between.cut();
      await between.pass();
      expect((await retried).status).toBe(200);
      expect(await retrying.stat('cluster.authorizer.upstream_rq_retry')).toBe(1);
      expect((await retried).headers['x-ratelimit-remaining-requests']).toBe('18');
      expect(await remaining()).toBe(17);
      await between.stop();
    });
  },
);

it('stops in good order: health first, then the calls under way, exit code 0', async () => {
  const own = await installation.startAuthorizer();
  const envoy = await installation.startGateway(own);
  const token = await installation.mint('rolling@example.com', 'enterprise');
  const statuses: number[] = [];
  const load = (async () => {
    for (let count = 0; count < 40; count += 1) {
      statuses.push((await send(envoy.port, { path: '/llm/llama/x' })).status);
      await sleep(20);
    }
  })();
  expect((await chat(envoy.port, token)).status).toBe(200);
  const stopping = own.stop();
  await sleep(300);
  expect((await fetch(`${own.opsUrl}/readyz`)).status).toBe(503);
  // Draining: Envoy has not been told to go elsewhere yet, and every call is answered.
  expect((await chat(envoy.port, token)).status).toBe(200);
  await load;
  await stopping;
  expect(new Set(statuses)).toEqual(new Set([401]));
  expect(await own.log()).toContain('"event":"stopped"');
});
