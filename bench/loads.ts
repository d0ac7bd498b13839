import type { Load } from './measure.ts';
import type { Answerer } from './world.ts';

/** What is sent to an answerer or an Envoy, for so many seconds. */
export type LoadFor = (seconds: number) => Load;

/** One connection, 100 calls in flight. */
export const byGrpc =
  (answerer: Answerer, file: string): LoadFor =>
  (seconds) => ({
    kind: 'grpc',
    address: answerer.address,
    requests: { file },
    inFlight: 100,
    warmUpSeconds: 0.5,
    seconds,
  });

export const closedLoop =
  (port: number, file: string): LoadFor =>
  (seconds) => ({ kind: 'wrk', port, file, connections: 32, seconds: Math.ceil(seconds) });

/** Latencies from when a request was due. */
export const openLoop =
  (port: number, file: string, ratePerSecond: number): LoadFor =>
  (seconds) => ({ kind: 'http', port, file, ratePerSecond, connections: 512, warmUpSeconds: 0.5, seconds });
