import { Agent, request } from 'node:http';
import { parseArgs } from 'node:util';
import { gatewayBootstrap } from '../src/sandbox/envoy-bootstrap.ts';
import type { SettlementChannel } from '../src/sandbox/envoy-token-filters.ts';
import { createModelServer } from '../src/sandbox/model-server.ts';
import { type Envoy, startEnvoy } from '../test/real/envoy.ts';
import { modelPath } from './cluster-order.ts';
import { describeMachine } from './machine.ts';
import { median, percentile, ratioOfPairs } from './statistics.ts';
import { startWorld } from './world.ts';

/**
 * What the metering of tokens costs an answer: streams through real Envoys that differ in nothing but whether they tell
 * what requests used, and by which channel, before the same authorizer, in turns. `off again` is `off` a second time: what
 * lies between these two is noise. Of each stream the time from its headers to its end is taken, which the model
 * paces, and the time to its headers.
 *
 *     bash bench/run.sh metering [--rounds N] [--streams N] [--at-once N]
 */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    streams: { type: 'string', default: '100' },
    'at-once': { type: 'string', default: '8' },
  },
});
const rounds = Number(values.rounds);
const streams = Number(values.streams);
const atOnce = Number(values['at-once']);
const chunkDelayMs = 5;

const variants: Readonly<Record<string, SettlementChannel | undefined>> = {
  off: undefined,
  'off again': undefined,
  'access log': 'access-log',
  'rate limit': 'rate-limit',
  ext_proc: 'ext-proc',
};

interface Times {
  readonly toHeadersMs: number;
  readonly toEndMs: number;
}

const body = JSON.stringify({
  model: 'llama',
  max_tokens: 64,
  stream: true,
  stream_options: { include_usage: true },
  messages: [{ role: 'user', content: 'Hello' }],
});
const agent = new Agent({ keepAlive: true });

function ask(port: number, token: string): Promise<Times> {
  const startedAtMs = performance.now();
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const path = modelPath('llama');
    const outgoing = request(
      { host: '127.0.0.1', port, method: 'POST', path, headers, agent },
      (incoming) => {
        const headersAtMs = performance.now();
        if (incoming.statusCode !== 200) reject(new Error(`status ${incoming.statusCode}`));
        incoming.resume();
        incoming.on('end', () =>
          resolve({ toHeadersMs: headersAtMs - startedAtMs, toEndMs: performance.now() - headersAtMs }),
        );
        incoming.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

async function measure(port: number, token: string): Promise<readonly Times[]> {
  const times: Times[] = [];
  let left = streams;
  const client = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      times.push(await ask(port, token));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, client));
  return times;
}

const world = await startWorld({ people: [{ tier: 'tokens', subjects: 1, tokensEach: 1 }], models: 1 });
const model = createModelServer({ chunkDelayMs });
const envoys: Envoy[] = [];
try {
  const [token = ''] = world.tokensOf('tokens');
  const authorizer = await world.startAuthorizer();
  const { port: modelPort } = await model.start();
  const ports: [name: string, port: number][] = [];
  for (const [name, tokens] of Object.entries(variants)) {
    const envoy = await startEnvoy({
      bootstrap: (place) =>
        gatewayBootstrap(place, {
          authorizer: authorizer.endpoint,
          model: { port: modelPort },
          timeoutMs: 10_000,
          ...(tokens !== undefined && { tokens }),
          ...(tokens === 'access-log' && { accessLog: {} }),
        }),
    });
    envoys.push(envoy);
    ports.push([name, envoy.port]);
    await measure(envoy.port, token);
  }

  const measured = new Map<string, (readonly Times[])[]>(ports.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    // Another one begins each time.
    for (const at of ports.keys()) {
      const [name = '', port = 0] = ports[(at + round) % ports.length] ?? [];
      measured.get(name)?.push(await measure(port, token));
    }
    console.error(`round ${round + 1} of ${rounds}`);
  }
  report(measured);
  const metrics = await authorizer.metrics();
  console.log(`settlements of the authorizer: ${metrics.get('tiergate_reservations_total') ?? 0}`);
} finally {
  agent.destroy();
  for (const envoy of envoys) await envoy.stop();
  await model.stop();
  await world.stop();
}

function report(measured: ReadonlyMap<string, readonly (readonly Times[])[]>): void {
  console.log(describeMachine());
  console.log(
    `${rounds} rounds of ${streams} streams each, ${atOnce} at once, 25 events ${chunkDelayMs} ms apart; ratios of rounds to those of "off", with 95 % intervals`,
  );
  for (const what of ['toEndMs', 'toHeadersMs'] as const) {
    console.log(what === 'toEndMs' ? '\nfrom the headers to the end:' : '\nto the headers:');
    const of = (name: string, share: number) =>
      (measured.get(name) ?? []).map((times) =>
        percentile(
          times.map((one) => one[what]),
          share,
        ),
      );
    for (const name of measured.keys()) {
      const words = [0.5, 0.99].map((share) => {
        const { median: middle, low, high } = ratioOfPairs(of(name, share), of('off', share));
        const against =
          name === 'off' ? '' : ` (x ${middle.toFixed(3)}, ${low.toFixed(3)} to ${high.toFixed(3)})`;
        return `p${share * 100} ${median(of(name, share)).toFixed(1)} ms${against}`;
      });
      console.log(`  ${name.padEnd(10)} ${words.join('   ')}`);
    }
  }
}
