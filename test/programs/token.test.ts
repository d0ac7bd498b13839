import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { token } from '../../src/programs/token.ts';
import { unsignedJwt } from '../support/jwt.ts';

interface Received {
  readonly url: string;
  readonly authorization: string;
  readonly body: unknown;
}

describe('tiergate token', () => {
  let folder: string;
  let server: Server;
  let received: Received[];
  let answer: { readonly status: number; readonly body: object; readonly headers?: Record<string, string> };
  let url: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tiergate-token-'));
    received = [];
    answer = { status: 201, body: minted('access-1', 4 * 3600) };
    server = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
      request.on('end', () => {
        const { url: path = '', headers } = request;
        received.push({ url: path, authorization: headers.authorization ?? '', body: JSON.parse(text) });
        response.writeHead(answer.status, answer.headers).end(JSON.stringify(answer.body));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/maas-api`;
  });

  afterEach(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });

  function minted(text: string, seconds: number) {
    const issuedAt = Math.floor(Date.now() / 1000);
    return { token: text, id: 'i', issuedAt, expiresAt: issuedAt + seconds };
  }

  async function run(args: readonly string[], clusterToken = 'cluster-token') {
    const out: string[] = [];
    const err: string[] = [];
    const code = await token(['--url', url, '--token-file', '-', ...args], {
      out: (line) => void out.push(line),
      err: (line) => void err.push(line),
      readInput: async () => `${clusterToken}\n`,
      env: { XDG_CACHE_HOME: folder },
    });
    return { code, out: out.join('\n'), err: err.join('\n') };
  }

  const cacheFiles = () =>
    readdirSync(join(folder, 'tiergate', 'tokens')).map((name) => join(folder, 'tiergate', 'tokens', name));

  it('mints with the token of the cluster and prints nothing but the new one', async () => {
    expect(await run(['--expiration', '4h', '--name', 'ci'])).toEqual({ code: 0, out: 'access-1', err: '' });
    expect(received).toEqual([
      {
        url: '/maas-api/v1/tokens',
        authorization: 'Bearer cluster-token',
        body: { expiration: '4h', name: 'ci' },
      },
    ]);
  });

  it('keeps it for its owner alone, and uses it again', async () => {
    await run([]);
    answer = { status: 201, body: minted('access-2', 4 * 3600) };
    expect((await run([])).out).toBe('access-1');
    expect(received).toHaveLength(1);
    const [file = ''] = cacheFiles();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'tiergate', 'tokens')).mode & 0o777).toBe(0o700);
    expect(readFileSync(file, 'utf8')).not.toContain('cluster-token');
  });

  it('gets a new one near the end of the old one', async () => {
    answer = { status: 201, body: minted('access-1', 50) };
    await run([]);
    answer = { status: 201, body: minted('access-2', 4 * 3600) };
    expect((await run([])).out).toBe('access-2');
    expect((await run([])).out).toBe('access-2');
    expect(received).toHaveLength(2);
  });

  it('goes on with the old one to its end while no new one can be had, and says so', async () => {
    answer = { status: 201, body: minted('access-1', 50) };
    await run([]);
    answer = { status: 503, body: { error: { message: 'away', reason: 'identity_unavailable' } } };
    const { code, out, err } = await run([]);
    expect({ code, out }).toEqual({ code: 0, out: 'access-1' });
    expect(err).toMatch(/^warning: no new token can be had .* ends in \d+ s$/);
  });

  it('does not go on with one that has ended', async () => {
    answer = { status: 201, body: minted('access-1', -1) };
    await run([]);
    answer = { status: 503, body: { error: { message: 'away' } } };
    expect(await run([])).toMatchObject({ code: 69, out: '' });
  });

  it('gives no user the token of another, and a renewed login its own', async () => {
    const jwt = (sub: string, iat: number) => unsignedJwt({ iss: 'https://idp', sub, iat, aud: 'a' });
    expect((await run([], jwt('alice', 1))).out).toBe('access-1');
    answer = { status: 201, body: minted('access-2', 4 * 3600) };
    expect((await run([], jwt('bob', 1))).out).toBe('access-2');
    expect((await run([], jwt('alice', 2))).out).toBe('access-1');
    expect((await run([], 'opaque-of-carol')).out).toBe('access-2');
    expect(received).toHaveLength(3);
  });

  it('uses no file that others could have written', async () => {
    await run([]);
    const [file = ''] = cacheFiles();
    chmodSync(file, 0o644);
    answer = { status: 201, body: minted('access-2', 4 * 3600) };
    const { out, err } = await run([]);
    expect(out).toBe('access-2');
    expect(err).toContain('not yours alone');
  });

  it.each(['', '{', '{}', '{"token":"x"}', 'null'])('takes %j in the file for nothing', async (text) => {
    await run([]);
    const [file = ''] = cacheFiles();
    writeFileSync(file, text);
    answer = { status: 201, body: minted('access-2', 4 * 3600) };
    expect((await run([])).out).toBe('access-2');
  });

  it('prints what a shell evaluates, and what client-go takes', async () => {
    expect((await run(['--format', 'env'])).out).toBe('export OPENAI_API_KEY=access-1');
    const { out } = await run(['--format', 'exec-credential']);
    expect(JSON.parse(out)).toMatchObject({
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'access-1', expirationTimestamp: expect.stringMatching(/^\d{4}-.*Z$/) },
    });
  });

  it('takes the token of a kubeconfig where no file is named, and says what is wrong with it', async () => {
    const kubeconfig = join(folder, 'kubeconfig');
    const write = (user: object) =>
      writeFileSync(
        kubeconfig,
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'Config',
          'current-context': 'c',
          clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
          users: [{ name: 'u', user }],
          contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        }),
      );
    const runWith = async (args: readonly string[]) => {
      const err: string[] = [];
      const io = {
        out: () => undefined,
        err: (line: string) => void err.push(line),
        readInput: async () => '',
      };
      const code = await token(['--url', url, ...args], { ...io, env: { XDG_CACHE_HOME: folder } });
      return { code, err: err.join('\n') };
    };
    write({ token: 'from-kubeconfig' });
    expect(await runWith(['--kubeconfig', kubeconfig])).toEqual({ code: 0, err: '' });
    expect(received[0]?.authorization).toBe('Bearer from-kubeconfig');
    write({});
    expect(await runWith(['--kubeconfig', kubeconfig])).toMatchObject({ code: 78 });
    expect(await runWith(['--token-file', join(folder, 'absent')])).toEqual({
      code: 78,
      err: `${join(folder, 'absent')} can not be read (ENOENT)`,
    });
  });

  it('says why it was refused', async () => {
    answer = {
      status: 400,
      body: { error: { message: 'expiration is too long.', reason: 'request_invalid', param: 'expiration' } },
    };
    expect(await run(['--expiration', '99h'])).toEqual({
      code: 1,
      out: '',
      err: 'refused (request_invalid): expiration is too long.',
    });
  });

  it('prints no token that a shell could read as more than one', async () => {
    answer = { status: 201, body: minted('a; rm -rf ~', 4 * 3600) };
    expect(await run(['--format', 'env'])).toMatchObject({ code: 69, out: '' });
  });

  it('follows no redirect: the token of the cluster would go along', async () => {
    answer = { status: 307, body: {}, headers: { location: `${url}/elsewhere` } };
    expect(await run([])).toMatchObject({ code: 69, out: '' });
    expect(received).toHaveLength(1);
  });

  it.each([['http://gateway.example/maas-api'], ['ftp://127.0.0.1/'], ['gateway.example']])(
    'sends no token to %s',
    async (to) => {
      expect(await run(['--url', to])).toMatchObject({ code: 64, out: '' });
      expect(received).toHaveLength(0);
    },
  );

  it.each([[['--format', 'xml']], [['--expires', '1h']], [['positional']]])(
    '%j is no way to call it',
    async (args) => {
      const { code, err } = await run(args);
      expect(code).toBe(64);
      expect(err).not.toBe('');
    },
  );

  it('shows no token in what it says to standard error', async () => {
    answer = { status: 500, body: {} };
    const { err } = await run([]);
    expect(err).toContain('issuer failed');
    expect(err).not.toContain('cluster-token');
  });
});
