import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../test/real/free-port.ts';
import { startProcess } from '../test/real/running-process.ts';
import type { Endpoint } from '../src/sandbox/envoy-cluster.ts';
import { startBenchEnvoy } from './envoy.ts';
import { toModel, writeHttpRequests } from './requests.ts';
import {
  type Contender,
  type Effort,
  inTurns,
  perSecond,
  ratio,
  type SuiteResult,
  type Verdict,
} from './suite.ts';
import { isListening, type World } from './world.ts';

/** Other stacks on the same requests, as far as the environment names their binaries (rivals/README.md). */
const folder = join(import.meta.dirname, '../../../bench/rivals');
const ours = 'tiergate, leased limits';
const opa = { name: 'OPA + ratelimit', atLeast: 2 } as const;
const kuadrant = { name: 'Authorino + Limitador', atLeast: 4.5 } as const;

export async function rivals(world: World, effort: Effort): Promise<SuiteResult> {
  const { env } = process;
  const contenders: Contender[] = [];
  const stops: (() => Promise<void>)[] = [];

  async function behindEnvoy(
    name: string,
    authorizer: Endpoint,
    limiter: Endpoint | undefined,
    tokensFile?: string,
  ) {
    const gateway = await startBenchEnvoy({ authorizer, limiter, upstreamPort: world.upstreamPort });
    stops.push(gateway.stop);
    const tokens = tokensFile === undefined ? world.tokensOf('leased') : linesOf(tokensFile);
    const file = writeHttpRequests(
      world.folder,
      name.replaceAll(/\W/g, '-'),
      tokens.map((token) => toModel(token)),
    );
    const load = (seconds: number) =>
      ({ kind: 'wrk', port: gateway.port, file, connections: 32, seconds: Math.ceil(seconds) }) as const;
    contenders.push({ name, gateway, load });
  }

  async function start({ name, command, args, env: own = {} }: Binary, port: number): Promise<Endpoint> {
    const isReady = () => isListening({ port });
    const started = await startProcess({ name, command, args, isReady, env: own });
    stops.push(started.stop);
    return { port };
  }

  try {
    const authorizer = await world.startAuthorizer();
    stops.push(authorizer.stop);
    await behindEnvoy(ours, authorizer.endpoint, undefined);
    const [opaPath, ratelimitPath] = [env['TIERGATE_BENCH_OPA'], env['TIERGATE_BENCH_RATELIMIT']];
    if (opaPath !== undefined && ratelimitPath !== undefined) {
      const [port, limiterPort] = [await freePort(), await freePort()];
      const plugin = 'plugins.envoy_ext_authz_grpc';
      const opaArgs = [
        'run',
        '--server',
        `--addr=127.0.0.1:${await freePort()}`,
        `--set=${plugin}.addr=127.0.0.1:${port}`,
        `--set=${plugin}.path=tiergate/authz/result`,
        join(folder, 'opa.rego'),
      ];
      const opaAt = await start({ name: 'opa', command: opaPath, args: opaArgs }, port);
      const ratelimitEnv = {
        USE_STATSD: 'false',
        LOG_LEVEL: 'warn',
        REDIS_SOCKET_TYPE: 'tcp',
        REDIS_URL: `127.0.0.1:${world.redisPort}`,
        RUNTIME_ROOT: folder,
        RUNTIME_SUBDIRECTORY: 'ratelimit',
        RUNTIME_WATCH_ROOT: 'false',
        GRPC_PORT: String(limiterPort),
        PORT: String(await freePort()),
        DEBUG_PORT: String(await freePort()),
      };
      const limiterAt = await start(
        { name: 'ratelimit', command: ratelimitPath, args: [], env: ratelimitEnv },
        limiterPort,
      );
      await behindEnvoy(opa.name, opaAt, limiterAt);
    }
    const [authorino, limitador] = [env['TIERGATE_BENCH_AUTHORINO'], env['TIERGATE_BENCH_LIMITADOR']];
    if (authorino !== undefined && limitador !== undefined) {
      const [rlsPort, httpPort] = [await freePort(), await freePort()];
      const args = ['--rls-ip', '127.0.0.1', '--rls-port', String(rlsPort), '--http-port', String(httpPort)];
      const storage = ['redis_cached', `redis://127.0.0.1:${world.redisPort}`];
      const limiterAt = await start(
        {
          name: 'limitador',
          command: limitador,
          args: [...args, join(folder, 'limitador.yaml'), ...storage],
        },
        rlsPort,
      );
      const authorinoAt = { port: Number(authorino.slice(authorino.lastIndexOf(':') + 1)) };
      await behindEnvoy(kuadrant.name, authorinoAt, limiterAt, env['TIERGATE_BENCH_AUTHORINO_TOKENS']);
    }
    const rows = await inTurns(world, contenders, effort);
    const verdicts = [opa, kuadrant].flatMap(({ name, atLeast }): readonly Verdict[] =>
      rows.some((row) => row.name === name)
        ? [
            {
              must: '5',
              words: `throughput to that of ${name}`,
              ratio: ratio(rows, [ours, name], perSecond),
              bound: { atLeast },
            },
          ]
        : [],
    );
    return {
      title: 'Rivals',
      words: 'HTTP in, 32 connections by wrk, one worker of Envoy; configured as bench/rivals says.',
      rows,
      verdicts,
    };
  } finally {
    for (const stop of stops.toReversed()) await stop();
  }
}

interface Binary {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

function linesOf(file: string): readonly string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}
