import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { standBack } from '../real/stand-back.ts';

export interface Load {
  readonly port: number;
  /** The client's address: all of 127.0.0.0/8 is this machine. */
  readonly source: string;
  readonly forMs: number;
  /** Requests under way at a time, at most. */
  readonly atOnce: number;
  /** Undefined: as many as are answered. */
  readonly perSecond?: number;
  /** A JSON list; one after the other is sent, beginning with number `from`. */
  readonly tokensFile?: string;
  readonly from?: number;
  /** Of one that would be another machine: see standBack. Default false. */
  readonly standsBack?: boolean;
  /** In place of a list: a token of these parts, encoded but for the claims, and a `jti` of its own for each request. */
  readonly garbage?: { readonly header: string; readonly claims: object; readonly signature: string };
}

export interface Loaded {
  readonly sent: number;
  readonly seconds: number;
  /** How many were answered by which status and reason. */
  readonly answers: Readonly<Record<string, number>>;
  readonly tookMs: readonly number[];
}

export interface RunningLoad {
  readonly done: Promise<Loaded>;
  /** Ends it before its time. */
  readonly stop: () => Promise<Loaded>;
}

/** Requests from a process of its own, so that what sends them, what measures and what is measured share no thread. */
export function startLoad(load: Load): RunningLoad {
  const script = join(import.meta.dirname, 'load.mjs');
  const child = spawn(process.execPath, [script, JSON.stringify(load)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  if (load.standsBack === true && child.pid !== undefined) standBack(child.pid);
  const stuck = setTimeout(() => child.kill('SIGKILL'), load.forMs + 30_000);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const done = new Promise<Loaded>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(stuck);
      if (code === 0) resolve(JSON.parse(text) as Loaded);
      else reject(new Error(`the process that sends requests ended with ${code}`));
    });
  });
  return {
    done,
    stop() {
      child.stdin.end();
      return done;
    },
  };
}
