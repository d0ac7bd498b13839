import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** One bash, into which commands are pasted one after the other: what one sets is there for the next. */
export interface Shell {
  /** Resolves to all that it printed, on either stream; rejects when it takes too long. */
  readonly run: (command: string) => Promise<string>;
  readonly end: () => void;
}

const runTimeoutMs = 20_000;
const mark = '=== end of command ===';

export function startShell(folder: string): Shell {
  const child = spawn('bash', ['--norc'], {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { PATH: process.env['PATH'] ?? '', HOME: folder },
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stdin.write('exec 2>&1\n');

  return {
    async run(command) {
      out = '';
      child.stdin.write(`${command}\nprintf '\\n%s\\n' '${mark}'\n`);
      const signal = AbortSignal.timeout(runTimeoutMs);
      while (!out.includes(`\n${mark}\n`)) {
        await once(child.stdout, 'data', { signal }).catch((error: unknown) => {
          throw new Error(`no end of ${command}:\n${out}`, { cause: error });
        });
      }
      return out.slice(0, out.indexOf(`\n${mark}\n`)).trimEnd();
    },
    end() {
      process.off('exit', kill);
      kill();
    },
  };
}
