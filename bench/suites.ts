import { modelName } from './cluster-order.ts';
import { cold } from './cold.ts';
import { growth } from './growth.ts';
import { stageCosts } from './stage-costs.ts';
import { rivals } from './rivals.ts';
import { createHttpSuites } from './http-suites.ts';
import { byGrpc, closedLoop, type LoadFor, openLoop } from './loads.ts';
import { type Pair, stopAll } from './pair.ts';
import { createEncodeCheck, type Sent, toModel, writeChecks, writeHttpRequests } from './requests.ts';
import { authorizerCpu, type Contender, inTurns, p99, perSecond, type Suite, verdict } from './suite.ts';
import { type Answerer, checkOnce, type SocketKind, type World } from './world.ts';

const leased = 'tiergate, leased limits';
const exact = 'tiergate, exact limits';
const reserved = 'tiergate, tokens reserved';
const floorName = 'floor: grpc-js, constant answer';
const ownFloorName = 'floor: own HTTP/2, constant answer';
const byLibrary = 'tiergate by grpc-js, leased limits';
const alone = 'Envoy alone';
/** Everything that `npm run bench` can measure, by the names of `--only`. */
export async function createSuites(world: World): Promise<Readonly<Record<string, Suite>>> {
  const encode = await createEncodeCheck();
  const sentBy = (tier: string): readonly Sent[] => world.tokensOf(tier).map((token) => toModel(token));
  const httpFile = (name: string, sent: readonly Sent[]) => writeHttpRequests(world.folder, name, sent);
  const checkFile = (name: string, sent: readonly Sent[]) =>
    writeChecks(world.folder, name, sent.map(encode));
  const sets = ['leased', 'exact', 'three', 'tokens', 'unlimited'] as const;
  const http = Object.fromEntries(sets.map((tier) => [tier, httpFile(tier, sentBy(tier))]));
  const checks = Object.fromEntries(sets.map((tier) => [tier, checkFile(tier, sentBy(tier))]));

  /** The authorizer, and a floor that gives its answers. */
  async function pair(socket: SocketKind): Promise<Pair> {
    const ours = await world.startAuthorizer({ socket });
    const [first] = sentBy('leased');
    if (first === undefined) throw new Error('no token');
    return { ours, floor: await world.startFloor(await checkOnce(ours, encode(first)), socket) };
  }

  /** The floor that is left: a constant answer on the door's own HTTP/2. */
  async function ownFloorOf(ours: Answerer, socket: SocketKind): Promise<Answerer> {
    const [first] = sentBy('leased');
    if (first === undefined) throw new Error('no token');
    return world.startFloor(await checkOnce(ours, encode(first)), socket, 'tiergate');
  }

  /** The same contenders through Envoy, each behind one of its own. */
  async function throughEnvoy(
    { ours, floor }: Pair,
    load: (port: number, file: string) => LoadFor,
  ): Promise<readonly Contender[]> {
    const [none, before, behind] = [
      await world.startGateway(undefined),
      await world.startGateway(floor),
      await world.startGateway(ours),
    ];
    return [
      { name: alone, gateway: none, load: load(none.port, http['leased'] ?? '') },
      { name: floorName, answerer: floor, gateway: before, load: load(before.port, http['leased'] ?? '') },
      { name: leased, answerer: ours, gateway: behind, load: load(behind.port, http['leased'] ?? '') },
      { name: exact, answerer: ours, gateway: behind, load: load(behind.port, http['exact'] ?? '') },
      { name: reserved, answerer: ours, gateway: behind, load: load(behind.port, http['tokens'] ?? '') },
    ];
  }

  return {
    async grpc(effort) {
      const { ours, floor } = await pair('tcp');
      const ownFloor = await ownFloorOf(ours, 'tcp');
      const library = await world.startAuthorizer({ transport: 'grpc-js' });
      const rows = await inTurns(
        world,
        [
          { name: floorName, answerer: floor, load: byGrpc(floor, checks['leased'] ?? '') },
          { name: ownFloorName, answerer: ownFloor, load: byGrpc(ownFloor, checks['leased'] ?? '') },
          { name: leased, answerer: ours, load: byGrpc(ours, checks['leased'] ?? '') },
          { name: byLibrary, answerer: library, load: byGrpc(library, checks['leased'] ?? '') },
          { name: exact, answerer: ours, load: byGrpc(ours, checks['exact'] ?? '') },
          { name: reserved, answerer: ours, load: byGrpc(ours, checks['tokens'] ?? '') },
          { name: 'tiergate, no limits', answerer: ours, load: byGrpc(ours, checks['unlimited'] ?? '') },
        ],
        effort,
      );
      await stopAll([
        { ours, floor },
        { ours: library, floor: ownFloor },
      ]);
      return {
        title: 'gRPC alone',
        words: 'One connection, 100 Checks in flight, closed loop. Everything cached.',
        rows,
        verdicts: [
          verdict(rows, {
            must: '2',
            words: 'CPU a Check in the authorizer, leased, to that of the floor',
            of: leased,
            to: floorName,
            by: authorizerCpu,
            bound: { atMost: 1.15 },
          }),
        ],
      };
    },

    async envoy(effort) {
      const parts = await pair('tcp');
      const rows = await inTurns(world, await throughEnvoy(parts, closedLoop), effort);
      await stopAll([parts]);
      return {
        title: 'Through Envoy, closed loop',
        words: 'HTTP in, 32 connections by wrk, one worker of Envoy, gRPC door over TCP. Everything cached.',
        rows,
        verdicts: [
          verdict(rows, {
            must: '1',
            words: 'throughput with leased limits to the floor',
            of: leased,
            to: floorName,
            by: perSecond,
            bound: { atLeast: 0.95 },
          }),
          verdict(rows, {
            must: '1',
            words: 'throughput with exact limits to the floor',
            of: exact,
            to: floorName,
            by: perSecond,
            bound: { atLeast: 0.75 },
          }),
        ],
      };
    },

    async rate(effort) {
      const parts = await pair('tcp');
      const load = (port: number, file: string) => openLoop(port, file, 1000);
      const rows = await inTurns(world, (await throughEnvoy(parts, load)).slice(0, 4), effort);
      await stopAll([parts]);
      return {
        title: 'Through Envoy, 1000 requests a second',
        words:
          'HTTP in, open loop: latencies from when a request was due. One worker of Envoy, gRPC door over TCP.',
        rows,
        verdicts: [
          verdict(rows, {
            must: '1',
            words: 'p99 with leased limits to the floor',
            of: leased,
            to: floorName,
            by: p99,
            bound: { atMost: 1.15 },
          }),
        ],
      };
    },

    async slow(effort) {
      const parts = await pair('tcp');
      const load = (port: number, file: string) => openLoop(port, file, 200);
      const rows = await inTurns(world, await throughEnvoy(parts, load), {
        ...effort,
        rounds: Math.min(2, effort.rounds),
      });
      await stopAll([parts]);
      return {
        title: 'Through Envoy, 200 requests a second',
        words: 'As before, at a fifth of the rate.',
        rows,
        verdicts: [],
      };
    },

    async unix(effort) {
      const parts = await pair('unix');
      const rows = await inTurns(world, (await throughEnvoy(parts, closedLoop)).slice(1, 3), effort);
      await stopAll([parts]);
      return {
        title: 'Through Envoy over a Unix socket, closed loop',
        words: 'As over TCP, with authorizer and floor on Unix sockets.',
        rows,
        verdicts: [],
      };
    },

    async denied(effort) {
      const ours = await world.startAuthorizer();
      const rows = await inTurns(
        world,
        deniedRequests(world).map(({ name, sent }) => ({
          name,
          answerer: ours,
          denied: 1,
          load: byGrpc(ours, checkFile(name.replaceAll(/\W/g, '-'), sent)),
        })),
        { rounds: 1, seconds: Math.min(2, effort.seconds) },
      );
      await ours.stop();
      return {
        title: 'Denials',
        words: 'gRPC alone; each line denies every request, and writes a line of the decision log for it.',
        rows,
        verdicts: [],
      };
    },

    async spread(effort) {
      const ours = await world.startAuthorizer();
      const tokens = world.tokensOf('spread');
      const models = Array.from({ length: 1000 }, (_, index) => modelName(index));
      const of = (count: number, model: (at: number) => string) =>
        tokens.slice(0, count).map((token, at) => toModel(token, model(at)));
      const rows = await inTurns(
        world,
        [
          { name: '1 token, 1 model', sent: of(1, () => 'model-0') },
          { name: '10 tokens, 10 models', sent: of(10, (at) => models[at % 10] ?? '') },
          { name: '1000 tokens, 1 model', sent: of(1000, () => 'model-0') },
          { name: '1000 tokens, 1000 models', sent: of(1000, (at) => models[at % 1000] ?? '') },
          { name: '10 tokens, three windows each', sent: sentBy('three') },
        ].map(({ name, sent }) => ({
          name,
          answerer: ours,
          load: byGrpc(ours, checkFile(name.replaceAll(/\W/g, '-'), sent)),
        })),
        { ...effort, rounds: Math.min(3, effort.rounds) },
      );
      await ours.stop();
      return {
        title: 'Tokens, subjects and models',
        words: 'gRPC alone, leased limits; each token is a subject of its own. A million tokens: see growth.',
        rows,
        verdicts: [],
      };
    },

    cold: (effort) => cold(world, encode, effort),
    growth: (effort) => growth(world, effort),
    stages: stageCosts,
    rivals: (effort) => rivals(world, effort),
    ...createHttpSuites({
      world,
      file: http['leased'] ?? '',
      sent: sentBy('leased'),
      grpcPair: () => pair('tcp'),
    }),
  };
}

function deniedRequests(world: World): readonly { readonly name: string; readonly sent: readonly Sent[] }[] {
  const token = world.tokensOf('leased')[0] ?? '';
  const [header, payload, signature = ''] = token.split('.');
  const forged = `${header}.${payload}.${signature.replaceAll(/[A-Z]/g, 'A')}`;
  const { path } = toModel(token);
  return [
    { name: 'credential_missing', sent: [{ path }] },
    { name: 'credential_malformed', sent: [{ token: 'not a token', path }] },
    { name: 'token_rejected', sent: [{ token: forged, path }] },
    { name: 'wrong_audience', sent: [{ token: otherAudience(token), path }] },
    { name: 'path_invalid', sent: [{ token, path: '/llm/../llm/llama/v1/chat/completions' }] },
    { name: 'model_unknown', sent: [{ token, path: '/v1/nothing' }] },
    { name: 'model_forbidden', sent: [toModel(token, 'nobodys')] },
    { name: 'requests_exceeded', sent: [toModel(world.tokensOf('full')[0] ?? '')] },
  ];
}

function otherAudience(token: string): string {
  const [header, payload = '', signature] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
  const other = Buffer.from(JSON.stringify({ ...claims, aud: ['somebody-else'] })).toString('base64url');
  return `${header}.${other}.${signature}`;
}
