import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { chat, outcome } from './send.ts';
import { createCheckClient } from '../../src/envoy/check-client.ts';
import { startRedisCluster } from '../real/redis-groups.ts';

let installation: Installation;

/** What is counted here is who passes, not how soon: hundreds at once take their time on two processors. */
const patient = { deadlineMs: 8_000 };
const envoyWaits = { timeoutMs: 9_000 };

beforeAll(async () => {
  installation = await startInstallation();
});

afterAll(() => installation.stop());

function question(token: string, id: string) {
  return {
    id,
    method: 'POST',
    path: '/llm/llama/v1/chat/completions',
    host: 'gateway',
    source: '127.0.0.1',
    headers: { authorization: `Bearer ${token}` },
  };
}

describe('many at once', () => {
  it('asks the API server once about a token and once about a model, however many ask', async () => {
    const authorizer = await installation.startAuthorizer(patient);
    const envoy = await installation.startGateway(authorizer, envoyWaits);
    const token = await installation.mint('cold@example.com', 'enterprise');
    const before = [installation.reviews('tokenreviews'), installation.reviews('subjectaccessreviews')];
    const answers = await Promise.all(Array.from({ length: 50 }, () => chat(envoy.port, token)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => 200));
    const after = [installation.reviews('tokenreviews'), installation.reviews('subjectaccessreviews')];
    expect(after).toEqual(before.map((count) => count + 1));
    await authorizer.kill();
  });

  it('lets exactly twenty of four hundred pass through two authorizers, five times of five', async () => {
    const authorizers: readonly Authorizer[] = [
      await installation.startAuthorizer(patient),
      await installation.startAuthorizer(patient),
    ];
    const gateways = await Promise.all(
      authorizers.map((authorizer) => installation.startGateway(authorizer, envoyWaits)),
    );
    for (let round = 0; round < 5; round += 1) {
      const token = await installation.mint(`crowd-${round}@example.com`, 'premium');
      const answers = await Promise.all(
        Array.from({ length: 400 }, (_, at) => chat(gateways[at % 2]?.port ?? 0, token)),
      );
      const count = (status: number) => answers.filter((answer) => answer.status === status).length;
      const others = answers.filter(({ status }) => status !== 200 && status !== 429);
      expect({ passed: count(200), denied: count(429), others: others.map(outcome) }).toEqual({
        passed: 20,
        denied: 380,
        others: [],
      });
    }
  });

  it.each(['one Redis', 'a Redis Cluster'])(
    'lets exactly twenty pass of any crowd, through one or three authorizers on %s',
    async (place) => {
      const cluster = place === 'one Redis' ? undefined : await startRedisCluster();
      const nodes = cluster?.nodes.map(({ port }) => `"127.0.0.1:${port}"`).join(', ');
      const options = { ...patient, ...(nodes !== undefined && { redis: `cluster: [${nodes}]` }) };
      const authorizers = await Promise.all([1, 2, 3].map(() => installation.startAuthorizer(options)));
      const clients = authorizers.map(({ port }) => createCheckClient(`127.0.0.1:${port}`));
      for (const count of [1, 3]) {
        for (const crowd of [25, 50, 100, 400]) {
          const token = await installation.mint(`${place} ${count} ${crowd}`, 'premium');
          const answers = await Promise.all(
            Array.from({ length: crowd }, async (_, at) =>
              clients[at % count]?.ask(question(token, `${place}-${count}-${crowd}-${at}`), 9_000),
            ),
          );
          const passed = answers.filter((answer) => answer?.allowed === true).length;
          const refused = answers.filter(
            (answer) => answer?.allowed === false && answer.status === 429,
          ).length;
          expect({ count, crowd, passed, refused }).toEqual({
            count,
            crowd,
            passed: 20,
            refused: crowd - 20,
          });
        }
      }
      for (const client of clients) client.close();
      for (const authorizer of authorizers) await authorizer.kill();
      await cluster?.stop();
    },
  );

  it('lets a busy person pass by leases, and gives back on SIGTERM under load what was not used', async () => {
    const authorizer = await installation.startAuthorizer({
      policy: '[{name: enterprise, limits: {requests: [{limit: 20000, window: 5m}]}}]',
    });
    const envoy = await installation.startGateway(authorizer);
    const token = await installation.mint('busy@example.com', 'enterprise');
    let passed = 0;
    let isGone = false;
    const load = Array.from({ length: 8 }, async () => {
      while (!isGone) {
        const { status } = await chat(envoy.port, token);
        if (status === 200) passed += 1;
        else isGone = true;
      }
    });
    await expect.poll(() => passed, { timeout: 20_000 }).toBeGreaterThan(500);
    const metrics = await (await fetch(`${authorizer.opsUrl}/metrics`)).text();
    const leases = Number(/^tiergate_leases_total (\d+)/m.exec(metrics)?.[1]);
    expect(leases).toBeGreaterThan(0);
    expect(leases).toBeLessThan(passed / 10);
    await authorizer.stop();
    await Promise.all(load);
    const [key = ''] = (await installation.redis.cli('KEYS', 'tg:*:w:\\*:requests:300000')).split('\n');
    // The total of the window, the second number of its packed form.
    const total = "local _, _, total = struct.unpack('<Bdd', redis.call('GET', KEYS[1])) return total";
    expect(Number(await installation.redis.cli('EVAL', total, '1', key))).toBe(passed);
  });
});
