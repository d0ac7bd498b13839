import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import type { Endpoint } from '../src/sandbox/envoy-cluster.ts';
import { ownUsers } from '../src/sandbox/seed.ts';
import { checkMethod } from '../src/envoy/authorization.ts';
import type { TransportKind } from '../src/envoy/transport.ts';
import { freePort } from '../test/real/free-port.ts';
import { redisCli, startRedis } from '../test/real/redis.ts';
import { type RunningProcess, startProcess } from '../test/real/running-process.ts';
import { type People } from './cluster-order.ts';
import { type Gateway, startBenchEnvoy } from './envoy.ts';
import { tiers } from './tiers.ts';

/** The parts that every scenario stands on, each a process of its own. */
export interface World {
  readonly folder: string;
  readonly redisPid: number;
  readonly redisPort: number;
  readonly upstreamPort: number;
  readonly clusterPid: number;
  readonly upstreamPid: number;
  /** Access tokens of a tier, person by person. */
  readonly tokensOf: (tier: string) => readonly string[];
  /** A process of the built program, as it is shipped. */
  readonly startAuthorizer: (options?: AuthorizerOptions) => Promise<Answerer>;
  /** `bench/floor`: the same answer to everything. */
  readonly startFloor: (answer: Buffer, socket: SocketKind, transport?: TransportKind) => Promise<Answerer>;
  /** The same behind HTTP: the answer of that door, to everything. */
  readonly startHttpFloor: (answer: HttpAnswer, socket: SocketKind) => Promise<Answerer>;
  readonly startGateway: (authorizer: Answerer | undefined) => Promise<Gateway>;
  /** A process of grown.ts, with what it says of its memory. */
  readonly startGrown: (
    tokens: number,
  ) => Promise<{ readonly answerer: Answerer; readonly bytesAPrincipal: number }>;
  readonly stop: () => Promise<void>;
}

export type SocketKind = 'tcp' | 'unix';

export interface AuthorizerOptions {
  /** `dist/main.js` of which commit. Default: of this one. */
  readonly program?: string;
  readonly socket?: SocketKind;
  /** Absent: no HTTP door. */
  readonly http?: SocketKind;
  /** Default `tiergate`. */
  readonly transport?: TransportKind;
  readonly nodeArgs?: readonly string[];
  /** Over what the benchmark's process file says. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** What answers Checks: an authorizer or a floor. */
export interface Answerer {
  readonly pid: number;
  /** For gRPC clients. */
  readonly address: string;
  readonly endpoint: Endpoint;
  /** Of the HTTP door: a gateway asks there then. */
  readonly httpEndpoint?: Endpoint | undefined;
  /** Sums of its metrics by name, over all label sets; of a floor none. */
  readonly metrics: () => Promise<ReadonlyMap<string, number>>;
  readonly stop: () => Promise<void>;
}

/** As the HTTP door gives it. */
export interface HttpAnswer {
  readonly status: number;
  /** Names and values by turns. */
  readonly headers: readonly string[];
}

export interface WorldOptions {
  readonly people: readonly Omit<People, 'file'>[];
  readonly models: number;
}

const here = import.meta.dirname;

export async function startWorld(options: WorldOptions): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'tiergate-bench-'));
  const running: { readonly stop: () => Promise<void> }[] = [];

  async function startProgram(
    name: string,
    args: readonly string[],
    endpoint: Endpoint,
    nodeArgs: readonly string[] = [],
  ): Promise<RunningProcess> {
    const started = await startProcess({
      name: `bench-${name}`,
      command: process.execPath,
      args: [...nodeArgs, join(here, `${name}.js`), ...args],
      isReady: () => isListening(endpoint),
      readyTimeoutMs: 900_000,
    });
    running.push({ stop: started.kill });
    return started;
  }

  const redis = await startRedis();
  running.push(redis);
  const [, redisPid = ''] =
    /process_id:(\d+)/.exec(await redisCli(['-p', String(redis.port), 'INFO', 'server'])) ?? [];
  const port = await freePort();
  const people = options.people.map((some) => ({ ...some, file: join(folder, `tokens-${some.tier}`) }));
  const names = Object.keys(tiers);
  const cluster = await startProgram(
    'cluster',
    [JSON.stringify({ port, tiers: names, models: options.models, people })],
    { port },
  );
  const upstreamPort = await freePort();
  const upstream = await startProgram('upstream', [String(upstreamPort)], { port: upstreamPort });
  await writeFile(join(folder, 'key'), randomBytes(32).toString('hex'), { mode: 0o600 });
  await writeFile(join(folder, 'kubeconfig'), JSON.stringify(kubeconfig(`http://127.0.0.1:${port}`)));
  const policy = Object.entries(tiers).map(([name, limits], level) => ({
    name,
    level,
    groups: [`tier-${name}-users`],
    limits,
  }));
  await writeFile(join(folder, 'policy.yaml'), JSON.stringify(policy));

  async function startAuthorizer({
    program,
    socket = 'tcp',
    http,
    transport = 'tiergate',
    nodeArgs = [],
    config = {},
  }: AuthorizerOptions = {}): Promise<Answerer> {
    const place = await placeOf(socket, folder);
    const httpPlace = http === undefined ? undefined : await placeOf(http, folder);
    const opsPort = await freePort();
    const file = join(folder, `authorizer-${opsPort}.yaml`);
    await writeFile(
      file,
      JSON.stringify({
        listeners: {
          grpc: { address: place.address, transport },
          ...(httpPlace !== undefined && { http: { address: httpPlace.address } }),
          ops: { address: `127.0.0.1:${opsPort}` },
        },
        // Long ones: a machine that is busy otherwise makes answers slow, and not others.
        check: { deadline: '5s' },
        policy: { file: join(folder, 'policy.yaml') },
        redis: { url: redis.url, keySecretFile: join(folder, 'key'), commandTimeout: '2s' },
        kubernetes: { kubeconfig: join(folder, 'kubeconfig') },
        reviews: { perSecond: 10_000, perSourcePerSecond: 10_000 },
        identity: { ttl: '10m' },
        access: { allowTtl: '10m', denyTtl: '1m' },
        ...config,
      }),
    );
    const opsUrl = `http://127.0.0.1:${opsPort}`;
    const started = await startProcess({
      name: 'bench-authorizer',
      command: process.execPath,
      args: [...nodeArgs, program ?? join(here, '../../main.js'), 'authorizer', '--config', file],
      isReady: async (signal) => (await fetch(`${opsUrl}/readyz`, { signal })).ok,
    });
    const answerer = {
      ...place,
      httpEndpoint: httpPlace?.endpoint,
      pid: started.pid,
      stop: started.stop,
      metrics: async () => metricsIn(await (await fetch(`${opsUrl}/metrics`)).text()),
    };
    running.push({ stop: started.kill });
    return answerer;
  }

  async function startFloor(
    answer: Buffer,
    socket: SocketKind,
    transport: TransportKind = 'grpc-js',
  ): Promise<Answerer> {
    const place = await placeOf(socket, folder);
    const file = join(folder, `answer-${randomBytes(6).toString('hex')}`);
    await writeFile(file, answer);
    const started = await startProgram('floor', [place.address, file, transport], place.endpoint);
    return { ...place, pid: started.pid, stop: started.kill, metrics: () => Promise.resolve(new Map()) };
  }

  return {
    folder,
    redisPid: Number(redisPid),
    redisPort: redis.port,
    upstreamPort,
    clusterPid: cluster.pid,
    upstreamPid: upstream.pid,
    tokensOf: (tier) => readFileSync(join(folder, `tokens-${tier}`), 'utf8').split('\n'),
    startAuthorizer,
    startFloor,
    async startHttpFloor(answer, socket) {
      const place = await placeOf(socket, folder);
      const file = join(folder, `answer-${randomBytes(6).toString('hex')}`);
      await writeFile(file, JSON.stringify(answer));
      const where = 'path' in place.endpoint ? place.endpoint.path : String(place.endpoint.port);
      const started = await startProgram('floor-http', [where, file], place.endpoint);
      const { endpoint: httpEndpoint } = place;
      return {
        ...place,
        httpEndpoint,
        pid: started.pid,
        stop: started.kill,
        metrics: () => Promise.resolve(new Map()),
      };
    },
    async startGrown(tokens) {
      const place = await placeOf('tcp', folder);
      const file = join(folder, `bytes-${tokens}`);
      const started = await startProgram('grown', [place.address, String(tokens), file], place.endpoint, [
        '--max-old-space-size=8192',
      ]);
      const answerer = {
        ...place,
        pid: started.pid,
        stop: started.kill,
        metrics: () => Promise.resolve(new Map()),
      };
      return { answerer, bytesAPrincipal: Number(readFileSync(file, 'utf8')) };
    },
    async startGateway(authorizer) {
      const gateway = await startBenchEnvoy({
        authorizer: authorizer?.endpoint,
        httpDoor: authorizer?.httpEndpoint,
        upstreamPort,
      });
      running.push(gateway);
      return gateway;
    },
    async stop() {
      for (const { stop } of running.toReversed()) await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface Checks {
  readonly ask: (request: Buffer) => Promise<Buffer>;
  readonly close: () => void;
}

/** A gRPC connection of the benchmark's own process. */
export function openChecks({ address }: Answerer): Checks {
  const client = new Client(address, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = checkMethod;
  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        const options = { deadline: Date.now() + 10_000 };
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          options,
          (error, response) => {
            if (error !== null || response === undefined) reject(error ?? new Error('no answer'));
            else resolve(response);
          },
        );
      }),
    close: () => client.close(),
  };
}

/** The answer of one Check. */
export async function checkOnce(answerer: Answerer, request: Buffer): Promise<Buffer> {
  const checks = openChecks(answerer);
  const answer = await checks.ask(request);
  checks.close();
  return answer;
}

/** One question to the HTTP door, as Envoy's `http_service` asks it. */
export function askHttpDoor({ httpEndpoint }: Answerer, path: string, token: string): Promise<HttpAnswer> {
  if (httpEndpoint === undefined) throw new TypeError('no HTTP door');
  const where =
    'path' in httpEndpoint ? { socketPath: httpEndpoint.path } : { ...httpEndpoint, host: '127.0.0.1' };
  const headers = { authorization: `Bearer ${token}`, 'tiergate-source': '127.0.0.1', 'content-length': '0' };
  return new Promise((resolve, reject) => {
    httpRequest({ ...where, method: 'POST', path, headers, agent: false }, (response) => {
      response.resume();
      const kept: string[] = [];
      for (let at = 0; at < response.rawHeaders.length; at += 2) {
        const [name = '', value = ''] = response.rawHeaders.slice(at, at + 2);
        // Those that node:http adds by itself.
        if (!['date', 'connection', 'keep-alive'].includes(name.toLowerCase())) kept.push(name, value);
      }
      resolve({ status: response.statusCode ?? 0, headers: kept });
    })
      .once('error', reject)
      .end();
  });
}

async function placeOf(socket: SocketKind, folder: string): Promise<Pick<Answerer, 'address' | 'endpoint'>> {
  if (socket === 'tcp') {
    const port = await freePort();
    return { address: `127.0.0.1:${port}`, endpoint: { port } };
  }
  const path = join(folder, `${randomBytes(6).toString('hex')}.sock`);
  return { address: `unix:${path}`, endpoint: { path } };
}

export function isListening(endpoint: Endpoint): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect('path' in endpoint ? endpoint : { ...endpoint, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function kubeconfig(server: string): object {
  return {
    clusters: [{ name: 'bench', cluster: { server } }],
    users: [{ name: 'bench', user: { token: ownUsers.authorizer.token } }],
    contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench', namespace: 'tiergate' } }],
    'current-context': 'bench',
  };
}

/** Exposition format 0.0.4 → sums by name over all label sets. */
function metricsIn(text: string): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name, value] = /^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)$/.exec(line) ?? [];
    if (name !== undefined) sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  return sums;
}
