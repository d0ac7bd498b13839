import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasEnded } from '../real/process-table.ts';
import { childrenOf } from './program-process.ts';

const root = join(import.meta.dirname, '../..');
const last = 'Ctrl-C ends it.';

/** What a person waits after Enter; as much longer as the machine has more to do than it has processors. */
function readyMs(): number {
  return 5_000 * Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
}

/** Here and not among the others: it is about time, and they run beside each other. */
describe('npm start, on a fresh clone after npm ci', () => {
  let clone: string;

  beforeAll(() => {
    clone = mkdtempSync(join(tmpdir(), 'tiergate-clone-'));
    const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0');
    for (const file of files.filter((name) => /^(src|protos)\/|^[^/]+\.json$|^\.npmrc$/.test(name))) {
      cpSync(join(root, file), join(clone, file), { recursive: true });
    }
    // As `npm ci` has it; .ci/run has just shown that it can.
    symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'));
  });

  afterAll(() => {
    rmSync(clone, { recursive: true, force: true });
  });

  /** Runs it until it is ready, ends it by a signal to npm, and tells what it said and how long it took. */
  async function start(signal: NodeJS.Signals) {
    const startedAtMs = performance.now();
    const npm = spawn(
      'npm',
      ['start', '--', '--gateway-port', '0', '--grpc-port', '0', '--http-port', '0', '--no-envoy'],
      {
        cwd: clone,
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let out = '';
    npm.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    const closed = once(npm, 'close');
    while (!out.includes(last) && npm.exitCode === null) await sleep(10);
    const tookMs = performance.now() - startedAtMs;
    const descendants = descendantsOf(npm.pid ?? -1);
    npm.kill(signal);
    await closed;
    return { out, tookMs, code: npm.exitCode, descendants };
  }

  it('is ready within 5 s, and again after a change of its sources, which it shows', async () => {
    const first = await start('SIGINT');
    expect(first.out).toContain('gateway     http://127.0.0.1:');
    expect(first.tookMs).toBeLessThan(readyMs());
    const path = join(clone, 'src/sandbox/start-text.ts');
    writeFileSync(path, readFileSync(path, 'utf8').replace(last, `Changed. ${last}`));
    const second = await start('SIGINT');
    expect(second.out).toContain('Changed. ');
    expect(second.tookMs).toBeLessThan(readyMs());
    console.log(`npm start: ready after ${Math.round(first.tookMs)} and ${Math.round(second.tookMs)} ms`);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('leaves nothing behind when npm gets %s', async (signal) => {
    const { descendants } = await start(signal);
    expect(descendants.length).toBeGreaterThan(0);
    for (let times = 0; times < 40 && !descendants.every(hasEnded); times += 1) await sleep(50);
    expect(descendants.filter((pid) => !hasEnded(pid))).toEqual([]);
  });

  it('says what is wrong where the sources can not be compiled', async () => {
    const path = join(clone, 'src/secret.ts');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, `${text}\nconst broken = ;\n`);
    const { out, code } = await start('SIGINT');
    writeFileSync(path, text);
    expect(code).not.toBe(0);
    expect(out).toContain('src/secret.ts');
    expect(out).not.toContain(last);
  });
});

function descendantsOf(pid: number): readonly number[] {
  const children = childrenOf(pid);
  return children.concat(children.flatMap(descendantsOf));
}
