import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { type ProgramProcess, startProgram } from './program-process.ts';
import { startShell, type Shell } from './shell.ts';

/** Commands of the page, as they stand there, and what it says that they print. */
interface Step {
  /** The heading that it stands below. */
  readonly title: string;
  readonly command: string;
  readonly output: string;
}

const page = join(import.meta.dirname, '../../docs/first-ten-minutes.md');

/** Every block of bash, with the block of text right after it, if there is one. */
function readSteps(text: string): readonly Step[] {
  const blocks = [...text.matchAll(/^```(bash|text)\n(.*?)^```$/gms)];
  return blocks.flatMap(({ 1: kind, 2: content = '', index }, at) => {
    if (kind === 'text') return [];
    const next = blocks[at + 1];
    const title =
      text
        .slice(0, index)
        .match(/^## .*$/gm)
        ?.at(-1) ?? '';
    const output = next?.[1] === 'text' ? (next[2] ?? '') : '';
    return [{ title, command: content.trimEnd(), output: output.trimEnd() }];
  });
}

/** What differs from run to run, and nothing else: times, how long something takes, ports and identities. */
function normalised(text: string): string {
  return text
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replaceAll(/\b(?:\d+m)?\d+s\b/g, '<duration>')
    .replaceAll(/(Wait, |whole again in |old, for )\d+m\b/g, '$1<duration>')
    .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:<port>')
    .trimEnd();
}

let folder: string;
let sandbox: ProgramProcess;
let shell: Shell;
const [write, start, ...steps] = readSteps(readFileSync(page, 'utf8'));

function portOf(part: string): string {
  return new RegExp(`^  ${part} +http://127\\.0\\.0\\.1:(\\d+)`, 'm').exec(sandbox.out())?.[1] ?? 'none';
}

/** The same command, where the ports and the built program are this run's. */
function asRunHere(command: string): string {
  return command
    .replaceAll('127.0.0.1:8000', `127.0.0.1:${portOf('gateway')}`)
    .replaceAll('127.0.0.1:8001', `127.0.0.1:${portOf('console')}`)
    .replaceAll('node dist/main.js', `'${process.execPath}' '${inject('programPath')}'`);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tiergate-minutes-test-'));
  shell = startShell(folder);
});

afterAll(async () => {
  shell.end();
  sandbox?.signal('SIGTERM');
  await sandbox?.ended;
  rmSync(folder, { recursive: true, force: true });
});

it('begins with a policy document and the sandbox', async () => {
  expect(await shell.run(write?.command ?? '')).toBe('');
  expect(start?.command).toBe('npm ci && npm start -- --policy tiers.yaml');
  const ports = ['--gateway-port', '0', '--grpc-port', '0', '--http-port', '0', '--console-port', '0'];
  sandbox = startProgram(['sandbox', '--no-envoy', ...ports, '--policy', 'tiers.yaml'], { folder });
  await sandbox.said('Ctrl-C ends it.');
  expect(sandbox.out()).toContain(start?.output);
});

it.each(steps)('prints what the page says: $title', async ({ command, output }) => {
  expect(normalised(await shell.run(asRunHere(command)))).toBe(normalised(output));
});

it('goes from an answer over a denial, its explanation and a raised limit to a revoked token', () => {
  const order = ['Hello', 'requests_exceeded', 'What would change it', 'is in force', 'token_revoked'];
  const text = readFileSync(page, 'utf8');
  const places = order.map((words) => text.indexOf(words, text.indexOf('## 2.')));
  expect(places).not.toContain(-1);
  expect(places).toEqual([...places].sort((a, b) => a - b));
  expect(sandbox.out()).toContain('policy: the new document is in force, tiers free, premium');
});
