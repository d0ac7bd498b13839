import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import type { GrpcLoad } from './load-grpc.ts';
import type { HttpLoad } from './load-http.ts';
import { beginWord, type LoadResult } from './load-result.ts';
import { cpuMicroseconds } from './process-cost.ts';
import type { Answerer } from './world.ts';

/** A load, as a process apart from everything that is measured. */
export type Load =
  | ({ readonly kind: 'grpc' } & GrpcLoad)
  | ({ readonly kind: 'http' } & HttpLoad)
  | ({ readonly kind: 'wrk' } & WrkLoad);

interface WrkLoad {
  readonly port: number;
  readonly file: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface Measurement extends LoadResult {
  readonly perSecond: number;
  /** Processor time of a request in each process, in microseconds. */
  readonly cpu: Readonly<Record<string, number>>;
  readonly redisCalls: number;
  readonly reviews: number;
}

export interface Watched {
  /** Process ids by what they are. */
  readonly pids: Readonly<Record<string, number>>;
  readonly answerer?: Answerer | undefined;
}

const here = import.meta.dirname;
const redisCommands = 'tiergate_redis_commands_total';
const reviewsAsked = 'tiergate_reviews_total';

/** Runs the load and reads all clocks at the begin and the end of what it measures. Throws where requests got no answer. */
export async function measure(load: Load, watched: Watched): Promise<Measurement> {
  const processor = () =>
    Object.entries(watched.pids).map(([name, pid]) => [name, cpuMicroseconds(pid)] as const);
  let before = processor();
  const metricsBefore = await watched.answerer?.metrics();
  const result = await runLoad(load, () => (before = processor()));
  const after = processor();
  const metricsAfter = await watched.answerer?.metrics();
  const { requests, asked } = result;
  if (requests === 0 || result.failed > 0)
    throw new Error(`requests without an answer: ${JSON.stringify(result)}`);
  const more = (name: string) => ((metricsAfter?.get(name) ?? 0) - (metricsBefore?.get(name) ?? 0)) / asked;
  return {
    ...result,
    perSecond: requests / result.seconds,
    cpu: Object.fromEntries(
      after.map(([name, microseconds], at) => [name, (microseconds - (before[at]?.[1] ?? 0)) / requests]),
    ),
    redisCalls: more(redisCommands),
    reviews: more(reviewsAsked),
  };
}

async function runLoad(load: Load, onBegin: () => void): Promise<LoadResult> {
  if (load.kind === 'wrk') return runWrk(load);
  const lines = await linesOf(
    process.execPath,
    [join(here, `load-${load.kind}.js`), JSON.stringify(load)],
    onBegin,
  );
  return JSON.parse(lines.at(-1) ?? '') as LoadResult;
}

interface WrkSummary {
  readonly requests: number;
  readonly microseconds: number;
  readonly refused: number;
  readonly failed: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
}

async function runWrk({ port, file, connections, seconds }: WrkLoad): Promise<LoadResult> {
  const script = ['--script', join(here, 'wrk.lua'), `http://127.0.0.1:${port}`, '--', file];
  const shape = ['--threads', '1', '--connections', String(connections), '--duration', `${seconds}s`];
  const lines = await linesOf('wrk', [...shape, '--timeout', '10s', ...script]);
  const summary = JSON.parse(lines.find((line) => line.startsWith('{')) ?? '') as WrkSummary;
  const { requests, microseconds, refused, failed, p50, p90, p99, p999 } = summary;
  const [a, b, c, d] = [p50, p90, p99, p999].map((value) => value / 1000) as [number, number, number, number];
  return {
    requests,
    asked: requests,
    denied: refused,
    failed,
    seconds: microseconds / 1e6,
    p50: a,
    p90: b,
    p99: c,
    p999: d,
  };
}

/** Longer than any load is told to take. */
const loadTimeoutMs = 180_000;

async function linesOf(
  command: string,
  args: readonly string[],
  onBegin?: () => void,
): Promise<readonly string[]> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), loadTimeoutMs);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    if (line === beginWord) onBegin?.();
  });
  const code = await ended;
  clearTimeout(timer);
  if (code !== 0) throw new Error(`${command} ${args[0] ?? ''} ended with ${code}`);
  return lines;
}
