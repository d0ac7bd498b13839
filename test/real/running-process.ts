import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessOptions {
  /** What messages and the log file call it. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Asked again until it says true; a throw, or the signal's abort after 2 s, counts as "not yet". */
  readonly isReady: (signal: AbortSignal) => Promise<boolean>;
  /** How long it may take until it is ready. Default 30 000. */
  readonly readyTimeoutMs?: number;
}

/** A real process of ours. It dies with the test's process, however that one ends. */
export interface RunningProcess {
  readonly pid: number;
  /** Kept after the process has gone, see {@link logDirectory}. */
  readonly logPath: string;
  /** SIGSTOP: its sockets stay open and nobody answers. */
  readonly pause: () => void;
  /** SIGCONT. */
  readonly resume: () => void;
  /** SIGTERM, then SIGKILL when that takes longer than 10 s; returns when it is gone. Safe to call twice. */
  readonly stop: () => Promise<void>;
  /** SIGKILL; returns when it is gone. Safe to call twice. */
  readonly kill: () => Promise<void>;
}

/** Logs of all real parts: for whoever looks at a failure afterwards. global-setup.ts clears out old ones. */
export const logDirectory: string = join(tmpdir(), 'tiergate-real-logs');

const stopTimeoutMs = 10_000;
const readyPollMs = 25;
const logTailCharacters = 4_000;

let started = 0;

/** Starts a process and waits until it is ready; throws with the end of its log when it does not get there. */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  mkdirSync(logDirectory, { recursive: true });
  started += 1;
  const logPath = join(logDirectory, `${options.name}-${process.pid}-${started}.log`);
  const child = spawnLogged(options, logPath);
  const running = control(child, options.name, logPath);
  try {
    await waitUntilReady(options, running);
    running.watch();
  } catch (cause) {
    await running.kill();
    throw new Error(`${options.name} did not get ready; ${logPath} ends with:\n${logTail(logPath)}`, {
      cause,
    });
  }
  return running;
}

function spawnLogged(options: ProcessOptions, logPath: string): ChildProcess {
  const log = openSync(logPath, 'a');
  // setpriv has the kernel end the process with this one: a test runner that is killed runs no clean-up.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', options.command, ...options.args], {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...options.env },
  });
  closeSync(log);
  return child;
}

interface ControlledProcess extends RunningProcess {
  readonly hasExited: () => boolean;
  /** From now on its end, unless we asked for it, is told on stderr. */
  readonly watch: () => void;
}

function control(child: ChildProcess, name: string, logPath: string): ControlledProcess {
  let isWatched = false;
  let hasExited = false;
  const exited = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', (code, signal) => {
      hasExited = true;
      if (isWatched)
        console.error(
          `${name} ended by itself (${signal ?? code}); ${logPath} ends with:\n${logTail(logPath)}`,
        );
      resolve();
    });
  });
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    isWatched = false;
    child.kill(signal);
    // A stopped process keeps SIGTERM for later; SIGKILL needs no waking.
    if (signal === 'SIGTERM') child.kill('SIGCONT');
    const force = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
    await exited;
    clearTimeout(force);
  };
  return {
    pid: child.pid ?? -1,
    logPath,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    hasExited: () => hasExited || child.pid === undefined,
    watch: () => (isWatched = true),
  };
}

async function waitUntilReady(options: ProcessOptions, running: ControlledProcess): Promise<void> {
  const deadline = Date.now() + (options.readyTimeoutMs ?? 30_000);
  let lastFault: unknown;
  while (Date.now() < deadline) {
    if (running.hasExited()) throw new Error(`${options.name} ended while it was starting`);
    try {
      if (await options.isReady(AbortSignal.timeout(2_000))) return;
    } catch (cause) {
      lastFault = cause;
    }
    await sleep(readyPollMs);
  }
  throw new Error(`${options.name} was not ready in time`, { cause: lastFault });
}

function logTail(path: string): string {
  return readFileSync(path, 'utf8').slice(-logTailCharacters);
}
