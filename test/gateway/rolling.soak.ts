import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Envoy } from '../real/envoy.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { issue, quantile, setUnlimited } from './issued.ts';
import { startLoad } from './load.ts';
import { startGatewayOfReplicas } from './replicas.ts';

let installation: Installation;
let authorizers: Authorizer[];
let envoy: Envoy;
let folder: string;

beforeAll(async () => {
  installation = await startInstallation();
  await setUnlimited(installation);
  authorizers = await Promise.all([1, 2, 3].map(() => installation.startAuthorizer()));
  const ports = authorizers.map(({ port }) => port);
  envoy = await startGatewayOfReplicas(ports, { model: { port: installation.modelPort } });
  folder = await mkdtemp(join(tmpdir(), 'tiergate-rolling-'));
});

afterAll(async () => {
  await envoy.stop();
  await installation.stop();
  await rm(folder, { recursive: true, force: true });
});

const perSecond = 500;

it('restarts one authorizer after the other under load, and no request fails', async () => {
  const tokens: string[] = [];
  for (let count = 0; count < 20; count += 1) {
    tokens.push((await issue(installation, `rolling-${count}@example.com`))[0].token);
  }
  const tokensFile = join(folder, 'tokens.json');
  await writeFile(tokensFile, JSON.stringify(tokens), { mode: 0o600 });
  const load = { port: envoy.port, source: '127.0.0.1', atOnce: 400, perSecond, tokensFile };
  // Everybody is known to all authorizers, as in an installation that has run for a while.
  await startLoad({ ...load, forMs: 3_000 }).done;

  const running = startLoad({ ...load, forMs: 120_000 });
  for (const authorizer of authorizers) {
    await sleep(2_000);
    await authorizer.stop();
    await installation.startAuthorizer({ port: authorizer.port });
    // Envoy's next look at its health.
    await sleep(2_000);
  }
  const { sent, seconds, answers, tookMs } = await running.stop();
  const [p50, p99, worst] = [0.5, 0.99, 1].map((share) => quantile(tookMs, share).toFixed(0));
  console.log(
    `${sent} requests, ${(sent / seconds).toFixed(0)} a second: ${JSON.stringify(answers)}; ` +
      `p50 ${p50} ms, p99 ${p99} ms, worst ${worst} ms`,
  );
  const failed = envoy.accessLog().filter(({ status }) => status !== 404);
  for (const { details, flags, durationMs, reason } of failed.slice(0, 20)) {
    console.log(JSON.stringify({ details, flags, durationMs, reason }));
  }
  const stats = [
    'upstream_rq_timeout',
    'upstream_rq_rx_reset',
    'upstream_cx_connect_fail',
    'upstream_rq_cancelled',
  ];
  for (const name of stats) console.log(name, await envoy.stat(`cluster.authorizer.${name}`));
  // The model's own answer to this path.
  expect(Object.keys(answers)).toEqual(['404']);
  expect(sent / seconds).toBeGreaterThan(perSecond * 0.98);
});

it('exits within its grace time though a stream stays open', async () => {
  const own = await installation.startAuthorizer();
  const session = connect(`http://127.0.0.1:${own.port}`);
  session.on('error', () => undefined);
  // Health Watch: a stream that its client never ends, as Envoy never ends its access log.
  const stream = session.request({
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Watch',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  stream.end(Buffer.from([0, 0, 0, 0, 0]));
  await new Promise((resolve) => stream.once('data', resolve));
  const startedAtMs = performance.now();
  await own.stop();
  const tookMs = performance.now() - startedAtMs;
  console.log(`stopped in ${(tookMs / 1000).toFixed(1)} s with an open stream`);
  // 5 s of draining; running-process kills at 10 s.
  expect(tookMs).toBeLessThan(9_000);
  expect(await own.log()).toContain('"event":"stopped"');
  session.destroy();
});
