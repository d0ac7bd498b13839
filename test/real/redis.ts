import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { freePort } from './free-port.ts';
import { findParts } from './parts.ts';
import { type RunningProcess, startProcess } from './running-process.ts';

export interface RedisOptions {
  /** Appended to the server's arguments, as `--name value` pairs; the last of a name counts. */
  readonly extraArgs?: readonly string[];
  /** `sentinel` needs `configFile`, which the server rewrites. Default `server`. */
  readonly mode?: 'server' | 'sentinel';
  readonly configFile?: string;
}

/** One redis-server on loopback. Without arguments that say otherwise it keeps nothing on disk. */
export interface RedisServer extends Omit<RunningProcess, 'pid' | 'logPath'> {
  readonly port: number;
  readonly url: string;
  /** redis-cli against this server: its output without the last line end; throws when the server says ERR. */
  readonly cli: (...args: readonly string[]) => Promise<string>;
  /** Starts it again on the same port and data folder, ending it first if it runs. */
  readonly restart: () => Promise<void>;
  /** Ends it and removes its data. Safe to call twice. */
  readonly stop: () => Promise<void>;
}

const run = promisify(execFile);

/** Ready when it answers PING. Takes about 0.1 s. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'tiergate-redis-'));
  const port = await freePort();
  const cli = (...args: readonly string[]): Promise<string> => redisCli(['-p', String(port), ...args]);
  const start = (): Promise<RunningProcess> =>
    startProcess({
      name: options.mode === 'sentinel' ? 'redis-sentinel' : 'redis',
      command: findParts().redisServer,
      args: [...serverArgs(directory, port, options), ...(options.extraArgs ?? [])],
      isReady: async () => (await cli('PING')) === 'PONG',
    });
  let running = await start();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    cli,
    pause: () => running.pause(),
    resume: () => running.resume(),
    kill: () => running.kill(),
    restart: async () => {
      await running.stop();
      running = await start();
    },
    stop: async () => {
      await running.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function serverArgs(directory: string, port: number, options: RedisOptions): readonly string[] {
  return [
    ...(options.configFile === undefined ? [] : [options.configFile]),
    ...(options.mode === 'sentinel' ? ['--sentinel'] : ['--save', '', '--appendonly', 'no']),
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    directory,
    '--daemonize',
    'no',
  ];
}

/** Bounded in time: a paused server would hold it for ever. */
export async function redisCli(args: readonly string[]): Promise<string> {
  const { stdout } = await run(findParts().redisCli, ['-e', '-h', '127.0.0.1', ...args], { timeout: 30_000 });
  return stdout.replace(/\n$/, '');
}
