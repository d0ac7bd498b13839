import { closedLoop, type LoadFor, openLoop } from './loads.ts';
import { type Pair, stopAll } from './pair.ts';
import type { Sent } from './requests.ts';
import { type Contender, inTurns, p99, perSecond, type Suite, verdict } from './suite.ts';
import { type Answerer, askHttpDoor, type SocketKind, type World } from './world.ts';

export interface HttpSuitesOptions {
  readonly world: World;
  /** Of requests with leased limits. */
  readonly file: string;
  readonly sent: readonly Sent[];
  readonly grpcPair: () => Promise<Pair>;
}

const alone = 'Envoy alone';
const doors = {
  grpc: 'tiergate, gRPC over TCP',
  library: 'tiergate, gRPC by grpc-js over TCP',
  tcpFloor: 'floor: node:http over TCP',
  tcp: 'tiergate, HTTP over TCP',
  unixFloor: 'floor: node:http, Unix socket',
  unix: 'tiergate, HTTP on a Unix socket',
} as const;

/** The HTTP door next to node:http with a constant answer, the gRPC door, and no door at all. */
export function createHttpSuites(options: HttpSuitesOptions): Readonly<Record<'http' | 'httpRate', Suite>> {
  const { world, file, sent, grpcPair } = options;

  async function pair(socket: SocketKind): Promise<Pair> {
    const ours = await world.startAuthorizer({ http: socket });
    const [first] = sent;
    const answer = await askHttpDoor(ours, first?.path ?? '', first?.token ?? '');
    if (answer.status !== 200) throw new Error(`the HTTP door answered ${answer.status}`);
    return { ours, floor: await world.startHttpFloor(answer, socket) };
  }

  /** Behind an Envoy of its own. */
  async function behind(
    name: string,
    answerer: Answerer | undefined,
    load: (port: number) => LoadFor,
  ): Promise<Contender> {
    const gateway = await world.startGateway(answerer);
    return { name, answerer, gateway, load: load(gateway.port) };
  }

  return {
    async http(effort) {
      const [tcp, unix, grpc] = [await pair('tcp'), await pair('unix'), await grpcPair()];
      const library = await world.startAuthorizer({ transport: 'grpc-js' });
      const load = (port: number) => closedLoop(port, file);
      const rows = await inTurns(
        world,
        [
          await behind(alone, undefined, load),
          await behind(doors.grpc, grpc.ours, load),
          await behind(doors.library, library, load),
          await behind(doors.tcpFloor, tcp.floor, load),
          await behind(doors.tcp, tcp.ours, load),
          await behind(doors.unixFloor, unix.floor, load),
          await behind(doors.unix, unix.ours, load),
        ],
        effort,
      );
      await Promise.all([stopAll([tcp, unix, grpc]), library.stop()]);
      const throughput = (words: string, to: string, atLeast: number) =>
        verdict(rows, {
          must: 'door',
          words: `throughput, HTTP on a Unix socket, to ${words}`,
          of: doors.unix,
          to,
          by: perSecond,
          bound: { atLeast },
        });
      return {
        title: 'Through Envoy by the HTTP door, closed loop',
        words:
          'HTTP in, 32 connections by wrk, one worker of Envoy. The floor is node:http with a constant answer.',
        rows,
        verdicts: [
          throughput('its floor', doors.unixFloor, 0.9),
          throughput('gRPC by grpc-js over TCP', doors.library, 1.4),
          throughput('Envoy alone', alone, 0.7),
        ],
      };
    },

    async httpRate(effort) {
      const unix = await pair('unix');
      const load = (port: number) => openLoop(port, file, 1000);
      const rows = await inTurns(
        world,
        [
          await behind(alone, undefined, load),
          await behind(doors.unixFloor, unix.floor, load),
          await behind(doors.unix, unix.ours, load),
        ],
        effort,
      );
      await stopAll([unix]);
      return {
        title: 'Through Envoy by the HTTP door, 1000 requests a second',
        words:
          'HTTP in, open loop: latencies from when a request was due. One worker of Envoy; the floor is node:http.',
        rows,
        verdicts: [
          verdict(rows, {
            must: 'door',
            words: 'p99, HTTP on a Unix socket, to its floor',
            of: doors.unix,
            to: doors.unixFloor,
            by: p99,
            bound: { atMost: 1.2 },
          }),
        ],
      };
    },
  };
}
