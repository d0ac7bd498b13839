import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { type RedisServer } from '../real/redis.ts';

export interface Hammer {
  /** Path of the built `main.js`. */
  readonly program: string;
  readonly url: string;
  readonly limit: number;
  readonly windowMs: number;
  readonly forMs: number;
  /** Claims at a time, and the pause after them. */
  readonly atOnce: number;
  readonly everyMs: number;
  readonly leased: boolean;
}

export interface Hammered {
  /** When each was sent and answered, in microseconds of one monotonic clock for all processes. */
  readonly admitted: readonly (readonly [number, number])[];
  readonly denied: number;
  readonly failed: number;
  readonly firstDeniedUs: number;
}

/** A process of its own; undefined when it was killed after `killAfterMs`. */
export function hammer(options: Hammer, killAfterMs?: number): Promise<Hammered | undefined> {
  const script = join(import.meta.dirname, 'hammer.mjs');
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const killing =
    killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  const stuck = setTimeout(() => child.kill('SIGKILL'), options.forMs + 20_000);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(killing);
      clearTimeout(stuck);
      if (code === 0) resolve(JSON.parse(text) as Hammered);
      else if (killAfterMs !== undefined) resolve(undefined);
      else reject(new Error(`the hammering process ended with ${code}`));
    });
  });
}

/** The most that was admitted in any time of that length: only what was sent and answered within it for certain. */
export function mostInAnyWindow(admitted: Hammered['admitted'], windowMs: number): number {
  const sent = admitted.map(([sentUs]) => sentUs).sort((a, b) => a - b);
  const answered = admitted.map(([, answeredUs]) => answeredUs).sort((a, b) => a - b);
  let most = 0;
  let before = 0;
  for (const [sentBefore, startUs] of sent.entries()) {
    while ((answered[before] ?? Infinity) < startUs + windowMs * 1000) before += 1;
    most = Math.max(most, before - sentBefore);
  }
  return most;
}

export async function scriptCalls(server: RedisServer): Promise<number> {
  const stats = await server.cli('INFO', 'commandstats');
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}
