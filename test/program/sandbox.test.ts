import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sandbox as sandboxProgram } from '../../src/programs/sandbox.ts';
import { pasteLines } from './pasted-lines.ts';
import {
  childrenOf,
  listeningAddresses,
  type ProgramProcess,
  runProgram,
  startProgram,
} from './program-process.ts';
import { describeLinesToPaste } from './sandbox-lines.ts';

/** Ports that nobody else has. */
const free = ['--gateway-port', '0', '--grpc-port', '0', '--http-port', '0', '--console-port', '0'];

/** In what time it ends when it is told to. */
const stopMs = 2_000;

const last = 'Ctrl-C ends it.';

async function startSandbox(...args: readonly string[]): Promise<ProgramProcess> {
  const sandbox = startProgram(['sandbox', ...free, ...args]);
  await sandbox.said(last);
  return sandbox;
}

function portOf(text: string, part: string): number {
  return Number(new RegExp(`^  ${part} +(?:http://)?127\\.0\\.0\\.1:(\\d+)`, 'm').exec(text)?.[1]);
}

async function expectEnd(sandbox: ProgramProcess, signal: NodeJS.Signals): Promise<void> {
  const startedAtMs = performance.now();
  sandbox.signal(signal);
  expect(await sandbox.ended).toMatchObject({ code: 0, err: '' });
  expect(performance.now() - startedAtMs).toBeLessThan(stopMs);
}

/** Responses begin, and go on. */
function openStream(port: number, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/metrics', agent }, (response) => {
      response.resume();
      resolve();
    }).on('error', reject);
  });
}

describe('a sandbox', () => {
  let folder: string;
  let sandbox: ProgramProcess;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tiergate-sandbox-test-'));
    sandbox = await startSandbox('--no-envoy');
  });

  afterAll(() => {
    sandbox.signal('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  it('says what it started and where', () => {
    const text = sandbox.out();
    expect(text).toMatch(/^ {2}gateway {5}http:\/\/127\.0\.0\.1:[1-9]\d+ \(built in\)$/m);
    expect(text).toMatch(
      /^ {2}authorizer {2}127\.0\.0\.1:[1-9]\d+ \(gRPC, ext_authz v3\), http:\/\/127\.0\.0\.1:[1-9]/m,
    );
    expect(text).toMatch(
      /^ {2}console {5}http:\/\/127\.0\.0\.1:[1-9]\d+\/ \(log in with the token sandbox-admin\)$/m,
    );
    expect(text).toContain(
      'sandbox-alice  alice@example.com (premium: 20 requests per 2m, 50000 tokens per 2m)',
    );
    expect(text).toContain('sandbox-bob    bob@example.com (free: 5 requests per 2m, 10000 tokens per 2m)');
    expect(text).toContain(
      'sandbox-carol  carol@example.com (enterprise: 50 requests per 2m, 200000 tokens per 2m)',
    );
    expect(text).toContain('may administer');
    expect(sandbox.err()).toBe('');
  });

  it('has no quote in its headings, which some shells would wait to be closed', () => {
    const headings = sandbox.out().match(/^#.*$/gm) ?? [];
    expect(headings).toHaveLength(7);
    for (const heading of headings) expect(heading).not.toMatch(/['"`$!]/);
  });

  it('listens on loopback only, and on what it says', () => {
    const addresses = listeningAddresses(sandbox.pid);
    expect(addresses.filter((address) => !address.startsWith('127.0.0.1:'))).toEqual([]);
    for (const part of ['gateway', 'authorizer', 'probes', 'cluster', 'console']) {
      expect(addresses).toContain(`127.0.0.1:${portOf(sandbox.out(), part)}`);
    }
    expect(childrenOf(sandbox.pid)).toEqual([]);
  });

  describeLinesToPaste(() => sandbox.out());

  it('shows what happened on its probes', async () => {
    const url = `http://127.0.0.1:${portOf(sandbox.out(), 'probes')}`;
    const ready = await fetch(`${url}/readyz`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toMatchObject({ status: 'ready' });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(/tiergate_checks_total\{.*reason="requests_exceeded".*\} 1$/m);
  });

  it('ends at Ctrl-C, connections open or not', async () => {
    const agent = new Agent({ keepAlive: true });
    await openStream(portOf(sandbox.out(), 'probes'), agent);
    await openStream(portOf(sandbox.out(), 'gateway'), agent);
    await expectEnd(sandbox, 'SIGINT');
    agent.destroy();
  });

  it('uses the policy document that it is given, and goes on without an Envoy that does not start', async () => {
    const file = join(folder, 'policy.yaml');
    writeFileSync(
      file,
      '[{name: everybody, groups: [system:authenticated], limits: {requests: [{limit: 3, window: 10s}]}}]\n',
    );
    writeFileSync(join(folder, 'envoy'), '#!/bin/sh\necho "no such configuration" >&2\nexit 1\n', {
      mode: 0o755,
    });
    const own = startProgram(['sandbox', ...free, '--policy', file], {
      env: { PATH: `${folder}:${process.env['PATH']}` },
    });
    try {
      await own.said(last);
      expect(own.out()).toContain(`(built in: ${folder}/envoy did not start: no such configuration)`);
      expect(own.out()).toContain('bob@example.com (everybody: 3 requests per 10s)');
      const lines = await pasteLines(own.out());
      const statuses = lines.flatMap(({ output }) => output.match(/^(?:HTTP\/1\.1 )?\d{3}(?=\D|$)/gm) ?? []);
      expect(statuses.map((status) => status.slice(-3)).join(' ')).toBe(
        '200 200 401 401 401 403 403 400 200 429',
      );
      await expectEnd(own, 'SIGTERM');
    } finally {
      own.signal('SIGKILL');
    }
  });
});

describe('a sandbox refuses to start, in words,', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tiergate-sandbox-test-'));
  });

  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** The same function that the process runs, without the time that a process takes; it ends before it begins. */
  async function run(...args: readonly string[]) {
    const out: string[] = [];
    const err: string[] = [];
    const code = await sandboxProgram(args, {
      out: (line) => void out.push(line),
      err: (line) => void err.push(line),
      readInput: () => Promise.resolve(''),
      env: {},
    });
    return { code, out, err: err.join('\n') };
  }

  it.each([
    { args: ['--gateway-port', '70000'], words: '--gateway-port must be a port from 0 (any) to 65535' },
    { args: ['--gateway-port', ''], words: '--gateway-port must be a port from 0 (any) to 65535' },
    { args: ['--grpc-port', 'many'], words: '--grpc-port must be a port' },
    { args: ['--http-port=-1'], words: '--http-port must be a port' },
    { args: ['--console-port', '1e3'], words: '--console-port must be a port' },
    { args: ['--gateway-port'], words: '--gateway-port' },
    { args: ['--policy'], words: '--policy' },
    { args: ['--no-such-flag'], words: '--no-such-flag' },
    { args: ['--no-envoy=yes'], words: '--no-envoy' },
    { args: ['surplus'], words: 'surplus' },
  ])('for wrong arguments: $args', async ({ args, words }) => {
    const { code, out, err } = await run(...args);
    expect({ code, out }).toEqual({ code: 64, out: [] });
    expect(err).toContain(words);
    expect(err).not.toMatch(/^ +at /m);
  });

  it('for a policy document with mistakes: every one, with its place', async () => {
    const file = join(folder, 'broken.yaml');
    const broken = [
      '- {name: free, groups: [a], limits: {requests: [{limit: 0, window: 2m}]}}',
      '- {name: Free, groups: [b]}',
      '- {name: gold, groups: [c], limits: {requests: [{limit: 5, window: 2}], surprise: 1}}',
    ];
    writeFileSync(file, broken.join('\n'));
    const { code, out, err } = await runProgram(['sandbox', ...free, '--policy', file]);
    expect({ code, out }).toEqual({ code: 78, out: '' });
    const places = err
      .trimEnd()
      .split('\n')
      .map((line) => line.split(': ', 2).join(' '));
    expect(places).toEqual([
      `${file}:1 tiers[0].limits.requests[0].limit`,
      `${file}:2 tiers[1].name`,
      `${file}:3 tiers[2].limits.requests[0].window`,
      `${file}:3 tiers[2].limits.surprise`,
    ]);
  });

  it('for a port that is taken', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    const port = String(typeof address === 'object' ? address?.port : '');
    const { code, err } = await runProgram(['sandbox', ...free, '--no-envoy', '--gateway-port', port]);
    taken.close();
    expect(code).toBe(69);
    expect(err).toBe(
      `127.0.0.1:${port} is taken: another program listens there\n` +
        '--gateway-port, --grpc-port and --http-port choose other ports, 0 any free one\n',
    );
  });
});
