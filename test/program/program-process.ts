import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { inject } from 'vitest';

export interface ProgramEnd {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A program of ours in a process of its own, as it is shipped. */
export interface ProgramProcess {
  readonly pid: number;
  readonly out: () => string;
  readonly err: () => string;
  /** Resolves when standard output holds the text; rejects with all that was said if it ends or takes too long. */
  readonly said: (text: string) => Promise<void>;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Resolves when it has ended and all its output is there. */
  readonly ended: Promise<ProgramEnd>;
}

export interface ProgramOptions {
  /** Besides PATH, all that it gets. */
  readonly env?: Readonly<Record<string, string>>;
  /** Options of Node itself. */
  readonly nodeArgs?: readonly string[];
  readonly folder?: string;
}

const sayTimeoutMs = 25_000;

/** Starts `tiergate` with these arguments. It ends with the test's process at the latest. */
export function startProgram(args: readonly string[], options: ProgramOptions = {}): ProgramProcess {
  const { env = {}, nodeArgs = [], folder } = options;
  const program = [process.execPath, ...nodeArgs, inject('programPath'), ...args];
  // The kernel ends it with the test's process, which may be killed and then runs no clean-up.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', ...env },
    ...(folder !== undefined && { cwd: folder }),
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = once(child, 'close').then(([code]): ProgramEnd => {
    return { code: code as number | null, out, err };
  });

  async function said(text: string): Promise<void> {
    const signal = AbortSignal.timeout(sayTimeoutMs);
    const over = ended.then(() => true);
    while (!out.includes(text)) {
      const isOver = await Promise.race([
        over,
        once(child.stdout, 'data', { signal }).then(() => false),
      ]).catch(() => true);
      if (isOver && !out.includes(text)) {
        throw new Error(`it never said "${text}":\n${out}\n${err}`);
      }
    }
  }

  return {
    pid: child.pid ?? -1,
    out: () => out,
    err: () => err,
    said,
    signal: (signal) => void child.kill(signal),
    ended,
  };
}

/** Runs it to its end. */
export function runProgram(args: readonly string[], options?: ProgramOptions): Promise<ProgramEnd> {
  return startProgram(args, options).ended;
}

/** Addresses on which a process listens over TCP, as `127.0.0.1:8000`; of Linux' /proc (proc(5)). */
export function listeningAddresses(pid: number): readonly string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`)) ?? [];
      return inode === undefined ? [] : [inode];
    }),
  );
  return ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode]) => state === listening && inodes.has(inode ?? ''))
      .map(([, address = '']) => addressOf(address)),
  );
}

/** TCP_LISTEN. */
const listening = '0A';

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // Closed meanwhile.
    return '';
  }
}

/** `0100007F:1F90`, words of the host's byte order (little-endian here) → `127.0.0.1:8000`; IPv6 stays hexadecimal. */
function addressOf(hexadecimal: string): string {
  const [host = '', port = ''] = hexadecimal.split(':');
  const bytes = Buffer.from(host, 'hex').toReversed();
  return `${bytes.length === 4 ? bytes.join('.') : host}:${Number.parseInt(port, 16)}`;
}

/** Processes that it has started and that are still there. */
export function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => parentOf(name) === pid)
    .map(Number);
}

function parentOf(pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // After the name, which may hold anything, in parentheses: state, then parent.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}
