import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

/**
 * Real processes and real signals: what a fake host can not show is whether the event loop really empties,
 * and whether the last lines of the log really leave a process that is ended.
 */
const root = fileURLToPath(new URL('../../', import.meta.url));

let folder: string;
const children = new Set<ChildProcess>();

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tiergate-run-'));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        noEmit: false,
        incremental: false,
        rootDir: join(root, 'src'),
        outDir: folder,
        typeRoots: [join(root, 'node_modules/@types')],
      },
      include: [],
      files: ['run-program', 'log', 'log-sink', 'events'].map((name) => join(root, `src/process/${name}.ts`)),
    }),
  );
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder]);
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});

/** A program of its own process, whose body is the text; `lifecycle` and `spam` are in reach. */
function run(body: string, stopTimeoutMs = 300) {
  const script = join(folder, `program-${children.size}.js`);
  writeFileSync(
    script,
    `import { createServer } from 'node:http';
import { runProgram } from './process/run-program.js';
import { createLog } from './process/log.js';
import { createLogSink } from './process/log-sink.js';
import { createEvents } from './process/events.js';
const sink = createLogSink({ stream: process.stdout, maxBufferedBytes: 10_000_000, now: Date.now });
const log = createLog({ level: 'info', write: sink.write, now: Date.now });
const server = {
  name: 'server',
  start: () => new Promise((resolve) => { const s = createServer(); s.listen(0, '127.0.0.1', () => resolve(s)); }),
  stop: (s) => new Promise((resolve) => s.close(resolve)),
};
await runProgram({
  program: async (lifecycle) => { await lifecycle.start(server); ${body}; log.info('ready'); },
  events: createEvents(log), stopTimeoutMs: ${stopTimeoutMs}, flush: sink.flush, now: () => performance.now(),
  host: { on: (e, l) => process.on(e, l), off: (e, l) => process.off(e, l), exit: (c) => process.exit(c) },
});
log.info('left');
`,
  );
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  let output = '';
  const ready = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += String(chunk);
      if (output.includes('"event":"ready"')) resolve();
    });
  });
  const ended = new Promise<{ code: number | null; events: readonly string[] }>((resolve) => {
    child.on('close', (code) => {
      const lines = output.trimEnd().split('\n');
      resolve({ code, events: lines.map((line) => (JSON.parse(line) as { event: string }).event) });
    });
  });
  return { child, ready, ended };
}

describe('a program of its own process', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s empties its event loop: exit code 0', async (signal) => {
    const { child, ready, ended } = run('');
    await ready;
    child.kill(signal);
    expect(await ended).toEqual({ code: 0, events: ['ready', 'stopping', 'stopped', 'left'] });
  });

  test('is ended after the deadline where something still holds it', async () => {
    const { child, ready, ended } = run('setInterval(() => undefined, 1000)');
    await ready;
    child.kill('SIGTERM');
    expect(await ended).toEqual({ code: 1, events: ['ready', 'stopping', 'stopped', 'left', 'forced'] });
  });

  test('a second signal ends it at once, with its log written', async () => {
    const { child, ready, ended } = run(
      "await lifecycle.start({ name: 'stuck', start: () => undefined, stop: () => new Promise((r) => setTimeout(r, 5000)) })",
      5000,
    );
    await ready;
    child.kill('SIGTERM');
    await new Promise<void>((resolve) => {
      child.stdout?.on('data', (chunk: Buffer) => {
        if (String(chunk).includes('"event":"stopping"')) resolve();
      });
    });
    await sleep(250);
    child.kill('SIGINT');
    expect(await ended).toEqual({ code: 130, events: ['ready', 'stopping', 'forced'] });
  });

  test.each([
    ['an exception nobody caught', "setTimeout(() => { throw new TypeError('bug'); }, 20)"],
    ['a rejection nobody handled', "setTimeout(() => { Promise.reject(new TypeError('bug')); }, 20)"],
  ])('%s ends it with 70, after all of its log is out', async (_name, body) => {
    // Far more than a pipe holds: lost lines would be the last ones, the ones that say why.
    const spam = "for (let n = 0; n < 5000; n += 1) log.info('spam', { text: 'x'.repeat(200) })";
    const { code, events } = await run(`${spam}; ${body}`).ended;
    expect(code).toBe(70);
    expect(events.filter((event) => event === 'spam')).toHaveLength(5000);
    expect(events.at(-1)).toBe('crashed');
  });
});
