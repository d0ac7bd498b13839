import { request } from 'node:http';
import { connect } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gatewayBootstrap } from '../../src/sandbox/envoy-bootstrap.ts';
import { type Envoy, startEnvoy } from '../real/envoy.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { issue, setUnlimited } from './issued.ts';

let installation: Installation;
let authorizers: Authorizer[];
let envoy: Envoy;

beforeAll(async () => {
  installation = await startInstallation();
  await setUnlimited(installation);
  authorizers = await Promise.all([1, 2, 3].map(() => installation.startAuthorizer()));
  const ports = authorizers.map(({ port }) => port);
  envoy = await startEnvoy({
    bootstrap: (place) =>
      withReplicas(
        gatewayBootstrap(place, {
          authorizer: { port: 1 },
          model: { port: installation.modelPort },
          // A machine that is busy starting a process stalls the others: what is looked for are calls that get lost.
          timeoutMs: 5_000,
        }),
        ports,
      ),
  });
});

afterAll(async () => {
  await envoy.stop();
  await installation.stop();
});

interface Bootstrap {
  readonly static_resources: { readonly clusters: readonly { readonly name: string }[] };
}

/** As deploy/ has it: all replicas in one cluster, each looked at by gRPC health checks. */
function withReplicas(bootstrap: object, ports: readonly number[]): object {
  const { static_resources: resources } = bootstrap as Bootstrap;
  const clusters = resources.clusters.map((cluster) =>
    cluster.name === 'authorizer'
      ? {
          ...cluster,
          health_checks: [
            {
              timeout: '2s',
              interval: '0.5s',
              no_traffic_interval: '0.5s',
              unhealthy_threshold: 2,
              healthy_threshold: 1,
              grpc_health_check: {},
            },
          ],
          load_assignment: {
            cluster_name: 'authorizer',
            endpoints: [
              {
                lb_endpoints: ports.map((port) => ({
                  endpoint: {
                    address: { socket_address: { address: '127.0.0.1', port_value: port } },
                  },
                })),
              },
            ],
          },
        }
      : cluster,
  );
  return { ...bootstrap, static_resources: { ...resources, clusters } };
}

const perSecond = 500;
/** A machine that can not keep up is asked less: what fails then would be its fault. */
const maxInFlight = 48;

/** One request whose body nobody reads; the model's part costs the sample server more than all of ours. */
function ask(token: string): Promise<number> {
  return new Promise((resolve) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: envoy.port,
        path: '/llm/llama/v1/models',
        headers: { authorization: `Bearer ${token}` },
      },
      (answer) => {
        answer.resume();
        answer.on('end', () => resolve(answer.statusCode ?? 0));
        answer.on('error', () => resolve(-1));
      },
    );
    outgoing.on('error', () => resolve(-1));
    outgoing.end();
  });
}

it('restarts one authorizer after the other under load, and no request fails', async () => {
  const tokens: string[] = [];
  for (let count = 0; count < 20; count += 1) {
    tokens.push((await issue(installation, `rolling-${count}@example.com`))[0].token);
  }
  await expect.poll(() => ask(tokens[0] ?? ''), { timeout: 5_000 }).not.toBe(503);
  const known = await ask(tokens[0] ?? '');
  const statuses = new Map<number, number>();
  let isDone = false;
  let sent = 0;
  let inFlight = 0;
  const answers: Promise<void>[] = [];
  const startedAtMs = performance.now();
  const load = (async () => {
    // oxlint-disable-next-line no-unmodified-loop-condition
    while (!isDone) {
      const due = ((performance.now() - startedAtMs) / 1000) * perSecond;
      for (; sent < due && inFlight < maxInFlight; sent += 1) {
        inFlight += 1;
        answers.push(
          ask(tokens[sent % tokens.length] ?? '').then((status) => {
            inFlight -= 1;
            statuses.set(status, (statuses.get(status) ?? 0) + 1);
            return undefined;
          }),
        );
      }
      await sleep(5);
    }
  })();
  for (const authorizer of authorizers) {
    await sleep(500);
    await authorizer.stop();
    await installation.startAuthorizer({ port: authorizer.port });
    // Envoy's next look at its health.
    await sleep(1_500);
  }
  isDone = true;
  await load;
  await Promise.all(answers);
  const seconds = (performance.now() - startedAtMs) / 1000;
  console.log(
    `${sent} requests, ${(sent / seconds).toFixed(0)} a second: ${JSON.stringify(Object.fromEntries(statuses))}`,
  );
  const failed = envoy.accessLog().filter(({ status }) => status !== known);
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
  expect([...statuses.keys()]).toEqual([known]);
  expect(sent).toBeGreaterThan(1_000);
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
