import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type Config, loadConfig, parseConfig } from '../process/config.ts';
import { isConfigMistakes } from '../process/config-mistakes.ts';
import { currentProcess } from '../process/current-process.ts';
import { readEnvironment } from '../process/environment.ts';
import { createEvents, type Events } from '../process/events.ts';
import type { Lifecycle } from '../process/lifecycle.ts';
import { createLog, type Log } from '../process/log.ts';
import { createLogSink } from '../process/log-sink.ts';
import { runProgram } from '../process/run-program.ts';
import { WorkerFailed, workerNumber } from '../process/workers.ts';
import { exitCode, type ProgramIo } from './program.ts';

/** What every server is given: its configuration, and what it tells operators by. */
export interface ServerContext {
  readonly config: Config;
  readonly lifecycle: Lifecycle;
  readonly log: Log;
  readonly events: Events;
  readonly droppedLogLines: () => number;
}

export interface Server {
  readonly name: string;
  /** What is wrong with what the process file names, a mistake a line; looked at before anything starts. */
  readonly preflight?: (config: Config) => Promise<readonly string[]>;
  /** Wires and starts its parts; the server runs until it is told to stop. */
  readonly start: (context: ServerContext) => Promise<void>;
  /** For all parts together. */
  readonly stopTimeoutMs: number;
}

const maxBufferedLogBytes = 4 * 1024 * 1024;

/** `tiergate <server> [--config FILE]`: reads the process file, then runs until a signal ends it. */
export async function runServer(server: Server, args: readonly string[], io: ProgramIo): Promise<number> {
  let isGivenNoFile = false;
  try {
    const environment = readEnvironment(io.env);
    const { values } = parseArgs({ args: [...args], options: { config: { type: 'string' } } });
    const path = values.config ?? environment.configFile;
    isGivenNoFile = path === undefined;
    const config = path === undefined ? parseConfig('', { file: 'defaults', folder: '.' }) : loadConfig(path);
    const mistakes = (await server.preflight?.(config)) ?? [];
    if (mistakes.length > 0) {
      for (const words of mistakes) io.err(words);
      return exitCode.config;
    }
    const sink = createLogSink({
      stream: currentProcess.stdout,
      maxBufferedBytes: maxBufferedLogBytes,
      now: Date.now,
    });
    const worker = workerNumber();
    const log = createLog({
      level: environment.logLevel ?? config.log.level,
      write: sink.write,
      now: Date.now,
      ...(worker !== undefined && { head: { worker } }),
    });
    const events = createEvents(log);
    events.started({ program: server.name, version: packageVersion() });
    const context = { config, log, events, droppedLogLines: sink.droppedLines };
    await runProgram({
      program: (lifecycle) => server.start({ ...context, lifecycle }),
      events,
      stopTimeoutMs: server.stopTimeoutMs,
      flush: sink.flush,
      host: currentProcess,
      now: () => performance.now(),
    });
    return exitCode.done;
  } catch (error) {
    const code = exitCodeOf(error, io);
    if (isGivenNoFile && code === exitCode.config) {
      io.err('no process file was given: --config FILE, or CONFIG_FILE; `tiergate sandbox` needs none');
    }
    return code;
  }
}

/** What ended a program before it ran, in words. */
export function exitCodeOf(error: unknown, io: ProgramIo): number {
  if (isConfigMistakes(error)) {
    io.err(error.message);
    return exitCode.config;
  }
  if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
    io.err(error.message);
    return exitCode.usage;
  }
  if (error instanceof WorkerFailed) {
    io.err(error.message);
    return error.exitCode;
  }
  if (isListenFault(error)) {
    io.err(listenWords(error));
    return exitCode.unavailable;
  }
  io.err(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return exitCode.software;
}

/** What Node says of an address that can not be listened on. */
export interface ListenFault extends Error {
  readonly code: string;
  readonly address: string;
  /** Absent, or negative, where the address is the path of a socket. */
  readonly port?: number;
}

export function isListenFault(error: unknown): error is ListenFault {
  return (
    error instanceof Error &&
    'syscall' in error &&
    'address' in error &&
    // A worker hears of it from the primary, which calls it by another name.
    (error.syscall === 'listen' || error.syscall === 'bind')
  );
}

const listenFaults: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is taken: another program listens there',
  EACCES: 'is not for this user to listen on',
  EADDRNOTAVAIL: 'is no address of this machine',
  ENOENT: 'can not be listened on: its folder is not there',
  ENOTSOCK: 'is there already, and is no socket: remove it or name another path',
  EPERM: 'can not be given its mode or owner: only root can give a socket to another user or a foreign group',
};

export function listenWords({ code, address, port = -1 }: ListenFault): string {
  const where = port < 0 ? address : `${address.includes(':') ? `[${address}]` : address}:${port}`;
  return `${where} ${listenFaults[code] ?? `can not be listened on (${code})`}`;
}

export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { readonly version: unknown }).version);
}
