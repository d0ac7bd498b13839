import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram, startProgram } from './program-process.ts';

/** Of every kind: types, bounds, between keys, unknown. */
const badFile = `
instance: Bad_Name
identity: {ttl: 60, staleIfErr: 1m}
listeners: {grpc: {address: nowhere}, console: {address: "0.0.0.0:1"}}
limits: {store: disk, expectedReplicas: 0}
workers: 1
model: {from: header}
check: {deadline: 1h}
redis: {url: "http://a", keySecretFile: key}
surprise: 1
`;

const badPlaces = [
  '2: instance',
  '3: identity.ttl',
  '3: identity.staleIfErr',
  '4: listeners.grpc.address',
  '4: listeners.console.address',
  '5: limits.store',
  '5: limits.expectedReplicas',
  '7: model.header',
  '8: check.deadline',
  '9: redis.url',
  '10: surprise',
];

/** A kubeconfig whose text must not come out, wherever it is wrong. */
const clusterToken = 'token-of-the-cluster-that-nobody-may-read';
const goodKubeconfig = `{clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}], users: [{name: u, user: {token: ${clusterToken}}}], contexts: [{name: x, context: {cluster: c, user: u, namespace: tiergate}}], current-context: x}`;

describe('a program with wrong configuration', () => {
  let folder: string;
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  /** Runs it so that every look at the network would be told on standard error. */
  const spied = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    runProgram(args, {
      env: { HOME: folder, ...env },
      nodeArgs: ['--import', join(import.meta.dirname, 'network-spy.mjs')],
      folder,
    });

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tiergate-config-test-'));
  });

  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it.each([
    { args: (path: string) => ['check-config', path], env: () => ({}) },
    { args: (path: string) => ['authorizer', '--config', path], env: () => ({ CONFIG_FILE: '/nowhere' }) },
    { args: () => ['issuer'], env: (path: string) => ({ CONFIG_FILE: path }) },
  ])('says every mistake with its line, and starts nothing: $args', async ({ args, env }) => {
    const path = file('bad.yaml', badFile);
    const { code, out, err } = await spied(args(path), env(path));
    expect({ code, out }).toEqual({ code: 78, out: '' });
    const lines = err.trimEnd().split('\n');
    expect(lines.map((line) => line.split(':').slice(1, 3).join(':'))).toEqual(badPlaces);
    expect(lines.every((line) => line.startsWith(`${path}:`))).toBe(true);
  });

  it('says every file that is missing or bad, whatever it is named for, and starts nothing', async () => {
    file(
      'policy.yaml',
      '[{name: free, groups: [a], limits: {requests: [{limit: 0, window: 2m}]}}, {name: FREE, groups: [b]}]',
    );
    file('kubeconfig', `users:\n- name: u\n  user:\n    token: ${clusterToken}\n   broken: [`);
    file('cert.pem', 'no certificate');
    const path = file(
      'files.yaml',
      `redis: {url: "rediss://127.0.0.1:1", keySecretFile: no-key, usernameFile: no-name, passwordFile: no-password, tls: {cert: cert.pem, key: cert.pem}}
listeners: {grpc: {address: "127.0.0.1:0", tls: {cert: cert.pem, key: cert.pem, clientCa: no-ca.pem}}}
policy: {file: policy.yaml}
kubernetes: {kubeconfig: kubeconfig}
`,
    );
    const { code, out, err } = await spied(['authorizer', '--config', path]);
    expect({ code, out }).toEqual({ code: 78, out: '' });
    const where = (name: string) => join(folder, name);
    expect(err.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^kubeconfig \/.*: bad indentation/) as string,
      expect.stringContaining(`${where('policy.yaml')}:1: tiers[0].limits.requests[0].limit: `) as string,
      expect.stringContaining(`${where('policy.yaml')}:1: tiers[1].name: `) as string,
      `${where('no-key')}: the secret can not be read (ENOENT)`,
      `${where('no-name')}: the secret can not be read (ENOENT)`,
      `${where('no-password')}: the secret can not be read (ENOENT)`,
      expect.stringMatching(/^redis\.tls: .*PEM/i) as string,
      `listeners.grpc.tls.clientCa: ${where('no-ca.pem')} can not be read (ENOENT)`,
    ]);
    expect(err).not.toContain(clusterToken);
  });

  it('refuses a key of the counters that could be guessed', async () => {
    file('short-key', 'fifteen letters');
    const path = file(
      'short.yaml',
      'redis: {url: "redis://127.0.0.1:1", keySecretFile: short-key}\nkubernetes: {kubeconfig: kubeconfig-good}\n',
    );
    file('kubeconfig-good', goodKubeconfig);
    const { code, err } = await spied(['issuer', '--config', path]);
    expect({ code, err }).toEqual({
      code: 78,
      err: `${join(folder, 'short-key')}: the key of the counters must have at least 16 bytes\n`,
    });
  });

  it('starts with a good one: ports are bound, and the spy of these tests sees it', async () => {
    file('kubeconfig-good', goodKubeconfig);
    const path = file(
      'good.yaml',
      `limits: {store: memory}
listeners: {grpc: {address: "127.0.0.1:0"}, ops: {address: "127.0.0.1:0"}}
kubernetes: {kubeconfig: kubeconfig-good}
`,
    );
    const program = startProgram(['authorizer'], {
      env: { CONFIG_FILE: path },
      nodeArgs: ['--import', join(import.meta.dirname, 'network-spy.mjs')],
    });
    await program.said('"event":"degraded"');
    program.signal('SIGTERM');
    const { code, out, err } = await program.ended;
    expect(code).toBe(0);
    expect(out).toContain('"event":"listening"');
    expect(err).toContain('[spy] listen');
    expect(err).toContain('[spy] connect');
    expect(`${out}${err}`).not.toContain(clusterToken);
  });

  it.each([
    { args: ['check-config'], words: 'usage: tiergate check-config FILE' },
    { args: ['check-config', '--all'], words: 'usage: tiergate check-config FILE' },
    { args: ['authorizer', '--conf', 'x'], words: "Unknown option '--conf'" },
    { args: ['authorise'], words: 'tiergate has no command authorise' },
    { args: ['constructor'], words: 'tiergate has no command constructor' },
    { args: [], words: 'usage: tiergate <command>' },
  ])('is told the usage, exit 64: tiergate $args', async ({ args, words }) => {
    const { code, out, err } = await runProgram(args);
    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toContain(words);
    expect(err).not.toMatch(/^ +at /m);
  });

  it.each([{ args: ['--help'] }, { args: ['help'] }])(
    'tells the commands: tiergate $args',
    async ({ args }) => {
      const { code, out, err } = await runProgram(args);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      for (const name of ['authorizer', 'issuer', 'sandbox', 'check-config']) {
        expect(out).toMatch(new RegExp(`^ {2}${name} +\\S`, 'm'));
      }
    },
  );

  it.each([{ args: ['--version'] }, { args: ['issuer', '--version'] }])(
    'tells its version: tiergate $args',
    async ({ args }) => {
      const { code, out } = await runProgram(args);
      expect({ code, out }).toEqual({
        code: 0,
        out: expect.stringMatching(/^tiergate \d+\.\d+\.\d+\n$/) as string,
      });
    },
  );

  it.each(['authorizer', 'issuer', 'deny', 'usage', 'token', 'iat', 'explain', 'simulate', 'check-config'])(
    'tells how %s is used, by -h',
    async (name) => {
      const { code, out, err } = await runProgram([name, '-h']);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toContain(`usage: tiergate ${name}`);
    },
  );

  it('says what to give where no process file is given', async () => {
    const { code, err } = await spied(['authorizer']);
    expect(code).toBe(78);
    expect(err).toContain('no process file was given: --config FILE, or CONFIG_FILE');
  });

  it('says in one line that there is no cluster', async () => {
    const { code, out, err } = await spied(['deny', 'list']);
    expect({ code, out }).toEqual({ code: 78, out: '' });
    expect(err).toMatch(/^kubeconfig: .*there is no kubeconfig.*--config FILE.*\n$/);
  });

  it('tells the flags of a command', async () => {
    const { code, out } = await runProgram(['sandbox', '--help']);
    expect(code).toBe(0);
    expect(out).toContain('--console-port PORT  the console; default 8001');
    for (const flag of [
      '--gateway-port',
      '--grpc-port',
      '--http-port',
      '--console-port',
      '--no-envoy',
      '--policy',
    ])
      expect(out).toContain(flag);
  });

  it('is found valid where it is, with what its policy document holds', async () => {
    file('tiers.yaml', '[{name: free, groups: [a]}, {name: gold, level: 1, groups: [b]}]');
    const path = file('valid.yaml', 'limits: {store: memory}\npolicy: {file: tiers.yaml}\n');
    const { code, out, err } = await runProgram(['check-config', path]);
    expect(code).toBe(0);
    expect(out).toBe(`${path}: valid; ${join(folder, 'tiers.yaml')}: valid, tiers free, gold\n`);
    expect(err).toContain('warning: Tier');
  });

  it('may name files that are elsewhere, unless they are asked for', async () => {
    const path = file('keys.yaml', 'redis: {url: "redis://127.0.0.1:1", keySecretFile: /nowhere/key}\n');
    const told = await spied(['check-config', path]);
    expect(told.code).toBe(0);
    expect(told.err).toContain('not here: /nowhere/key: the secret can not be read (ENOENT)');
    const strict = await spied(['check-config', path, '--files']);
    expect({ code: strict.code, out: strict.out }).toEqual({ code: 78, out: '' });
  });

  it('is recognised as a policy document, also in its ConfigMap, and set against another', async () => {
    const now = file('now.yaml', '[{name: free, groups: [a], limits: {requests: [{limit: 5, window: 2m}]}}]');
    const next = file(
      'next.yaml',
      'kind: ConfigMap\ndata:\n  tiers: |\n    - {name: free, groups: [a], limits: {requests: [{limit: 6, window: 2m}]}}\n',
    );
    expect((await runProgram(['check-config', next])).out).toBe(
      `${next}: a valid policy document, tiers free\n`,
    );
    const compared = await runProgram(['check-config', '--policy', next, '--against', now, '--exit-code']);
    expect(compared).toEqual({ code: 1, out: '~ tier free: requests in 2m: 5 -> 6\n', err: '' });
    const same = await runProgram(['check-config', '--policy', now, '--against', now, '--exit-code']);
    expect(same).toEqual({ code: 0, out: 'nothing changes for anybody\n', err: '' });
  });
});
