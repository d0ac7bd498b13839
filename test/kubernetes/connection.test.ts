import { connect } from 'node:net';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import {
  type ConnectionOptions,
  createFixedConnection,
  loadConnection,
} from '../../src/kubernetes/connection.ts';
import { createCertificateAuthority } from '../real/certificates.ts';
import { type FaultServer, json, startFaultServer } from '../support/fault-server.ts';
import { createManualClock } from '../support/manual-clock.ts';

let directory: string;
let server: FaultServer;
const open: KubernetesClient[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tiergate-connection-'));
  server = await startFaultServer(json(200, { ok: true }));
});
afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await server.stop();
  await rm(directory, { recursive: true });
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

interface KubeconfigParts {
  readonly cluster?: object;
  readonly user?: object;
  readonly context?: object;
}

async function writeKubeconfig({
  cluster = {},
  user = {},
  context = {},
}: KubeconfigParts = {}): Promise<string> {
  const file = join(directory, 'kubeconfig');
  const entry = (name: string, key: string, value: object) => [{ name, [key]: value }];
  await writeFile(
    file,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'here',
      clusters: entry('c', 'cluster', { server: server.url, ...cluster }),
      users: entry('u', 'user', user),
      contexts: [
        ...entry('here', 'context', { cluster: 'c', user: 'u', namespace: 'tiergate', ...context }),
        ...entry('there', 'context', { cluster: 'c', user: 'u' }),
      ],
    }),
  );
  return file;
}

async function clientOf(options: ConnectionOptions): Promise<KubernetesClient> {
  const client = createKubernetesClient({ connection: await loadConnection(options), timeoutMs: 2_000 });
  open.push(client);
  return client;
}

const get = (client: KubernetesClient) => client.request({ method: 'GET', path: '/version' });
const authorizations = () => server.requests.map(({ headers }) => headers.authorization);

describe('a kubeconfig', () => {
  it('tells the server, the namespace and the token', async () => {
    const client = await clientOf({ kubeconfig: await writeKubeconfig({ user: { token: 'static-token' } }) });
    await get(client);
    expect(client.namespace).toBe('tiergate');
    expect(authorizations()).toEqual(['Bearer static-token']);
    expect((await client.ownToken())?.reveal()).toBe('static-token');
  });

  it('is found by KUBECONFIG when none is named', async () => {
    vi.stubEnv('KUBECONFIG', await writeKubeconfig({ user: { token: 'from-environment' } }));
    await get(await clientOf({}));
    expect(authorizations()).toEqual(['Bearer from-environment']);
  });

  it('has other contexts', async () => {
    const client = await clientOf({ kubeconfig: await writeKubeconfig(), context: 'there' });
    expect(client.namespace).toBeUndefined();
  });

  it('may hold a user and a password, and whom to act as', async () => {
    const user = { username: 'alice', password: 'secret', as: 'bob' };
    const client = await clientOf({ kubeconfig: await writeKubeconfig({ user }) });
    await get(client);
    expect(authorizations()).toEqual([`Basic ${Buffer.from('alice:secret').toString('base64')}`]);
    expect(server.requests[0]?.headers['impersonate-user']).toBe('bob');
    expect(await client.ownToken()).toBeUndefined();
  });

  it('that can not be used is refused in words', async () => {
    const kubeconfig = await writeKubeconfig();
    await expect(loadConnection({ kubeconfig, context: 'nowhere' })).rejects.toThrow(
      /kubeconfig .*: no context "nowhere"; it has here, there/,
    );
    await expect(loadConnection({ kubeconfig: join(directory, 'absent') })).rejects.toThrow(/absent: ENOENT/);
    await writeFile(kubeconfig, 'users: [');
    await expect(loadConnection({ kubeconfig })).rejects.toThrow(/kubeconfig .*kubeconfig: /);
    await writeFile(kubeconfig, '');
    await expect(loadConnection({ kubeconfig })).rejects.toThrow(/kubeconfig .*kubeconfig: /);
  });

  it('that is nowhere is refused in words', async () => {
    vi.stubEnv('KUBECONFIG', '');
    vi.stubEnv('HOME', directory);
    await expect(loadConnection()).rejects.toThrow('not in a cluster, and there is no kubeconfig');
  });

  it.each(['http://kube.example:8080', 'http://10.0.0.1', 'ftp://127.0.0.1', 'nonsense'])(
    'never leads a token over the network in clear text: %s',
    async (address) => {
      const kubeconfig = await writeKubeconfig({ cluster: { server: address } });
      await expect(loadConnection({ kubeconfig })).rejects.toThrow(/must be https|is not a URL/);
      expect(() => createFixedConnection({ server: address })).toThrow(/must be https|is not a URL/);
    },
  );

  it('leads over TLS, with a client certificate and the name that the server is to have', async () => {
    const authority = createCertificateAuthority('test');
    const serving = authority.issue('api', ['kubernetes.default.svc']);
    const mine = authority.issue('me', []);
    const names: unknown[] = [];
    const secure = await startFaultServer(
      (response, request) => {
        names.push((response.socket as TLSSocket).getPeerCertificate().subject);
        json(200, { ok: true })(response, request);
      },
      {
        key: serving.keyPem,
        cert: serving.certPem,
        ca: authority.caPem,
        requestCert: true,
        rejectUnauthorized: true,
      },
    );
    const base64 = (pem: string) => Buffer.from(pem).toString('base64');
    const cluster = { server: secure.url, 'certificate-authority-data': base64(authority.caPem) };
    const user = { 'client-certificate-data': base64(mine.certPem), 'client-key-data': base64(mine.keyPem) };
    const named = { ...cluster, 'tls-server-name': 'kubernetes.default.svc' };

    const client = await clientOf({ kubeconfig: await writeKubeconfig({ cluster: named, user }) });
    for (let count = 0; count < 3; count += 1) await get(client);
    expect(names).toEqual([{ CN: 'me' }, { CN: 'me' }, { CN: 'me' }]);
    expect(secure.connections()).toBe(1);

    // Without that name it is another server's certificate; nothing is sent to it.
    const stranger = await clientOf({ kubeconfig: await writeKubeconfig({ cluster, user }) });
    await expect(get(stranger)).rejects.toMatchObject({ code: 'unreachable' });
    expect(secure.requests).toHaveLength(3);
    await secure.stop();
  });

  it('may name a proxy', async () => {
    const authority = createCertificateAuthority('test');
    const serving = authority.issue('api', ['127.0.0.1']);
    const secure = await startFaultServer(json(200, { ok: true }), {
      key: serving.keyPem,
      cert: serving.certPem,
    });
    const proxy = createServer();
    let tunnels = 0;
    proxy.on('connect', (_request, downstream) => {
      tunnels += 1;
      const upstream = connect(secure.port, '127.0.0.1', () => {
        downstream.write('HTTP/1.1 200 OK\r\n\r\n');
        upstream.pipe(downstream).pipe(upstream);
      });
      for (const socket of [upstream, downstream]) socket.on('error', () => upstream.destroy());
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const cluster = {
      server: secure.url,
      'certificate-authority-data': Buffer.from(authority.caPem).toString('base64'),
      'proxy-url': `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    };
    const kubeconfig = await writeKubeconfig({ cluster, user: { token: 'through-the-proxy' } });
    await expect(get(await clientOf({ kubeconfig }))).resolves.toMatchObject({ status: 200 });
    expect(tunnels).toBe(1);
    expect(secure.requests[0]?.headers.authorization).toBe('Bearer through-the-proxy');
    await secure.stop();
    proxy.close();
  });
});

describe('credentials that change', () => {
  /** The API server knows this token and no other. */
  const acceptOnly = (token: string): void => {
    server.answer((response, request) => {
      const isKnown = request.headers.authorization === `Bearer ${token}`;
      json(isKnown ? 200 : 401, { kind: 'Status' })(response, request);
    });
  };

  async function withTokenFile(first: string) {
    const tokenFile = join(directory, 'token');
    await writeFile(tokenFile, `${first}\n`);
    const clock = createManualClock(Date.now());
    const kubeconfig = await writeKubeconfig({ user: { tokenFile: 'token', token: 'passed-over' } });
    const client = await clientOf({ kubeconfig, now: clock.now });
    return { client, clock, rotate: (next: string) => writeFile(tokenFile, next) };
  }

  it('are read again when the API server no longer takes them', async () => {
    const { client, rotate } = await withTokenFile('first');
    acceptOnly('first');
    await get(client);
    await rotate('second');
    acceptOnly('second');
    const answers = await Promise.all(Array.from({ length: 10 }, () => get(client)));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    expect((await client.ownToken())?.reveal()).toBe('second');
  });

  it('that are refused still are a fault, and are not read again for each request', async () => {
    const { client, clock, rotate } = await withTokenFile('first');
    acceptOnly('another');
    await expect(get(client)).rejects.toMatchObject({ code: 'misconfigured' });
    await rotate('another');
    // Read a moment ago: not again until five seconds have passed.
    await expect(get(client)).rejects.toMatchObject({ code: 'misconfigured' });
    expect(server.requests).toHaveLength(2);
    clock.advance(5_001);
    await expect(get(client)).resolves.toMatchObject({ status: 200 });
  });

  it('go on being used while their source is away', async () => {
    const { client, clock } = await withTokenFile('first');
    acceptOnly('first');
    await rm(join(directory, 'token'));
    // KubeConfig itself remembers a token file for a minute, by the process's own clock.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 120_000 });
    clock.advance(120_000);
    await expect(get(client)).resolves.toMatchObject({ status: 200 });
    expect(authorizations()).toEqual(['Bearer first']);
  });

  it('that were never there are our misconfiguration', async () => {
    const kubeconfig = await writeKubeconfig({ user: { tokenFile: 'absent' } });
    await expect(loadConnection({ kubeconfig })).rejects.toMatchObject({
      code: 'misconfigured',
      message: expect.stringContaining('ENOENT') as string,
    });
  });

  it('come from an exec plugin, run once for many requests', async () => {
    const log = join(directory, 'runs');
    const plugin = join(directory, 'plugin.mjs');
    const credential = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'from-plugin' },
    };
    await writeFile(
      plugin,
      `import { appendFileSync } from 'node:fs';
       appendFileSync(${JSON.stringify(log)}, 'x');
       console.log(${JSON.stringify(JSON.stringify(credential))});`,
    );
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: process.execPath, args: [plugin] };
    const client = await clientOf({ kubeconfig: await writeKubeconfig({ user: { exec } }) });
    for (let count = 0; count < 5; count += 1) await get(client);
    expect(new Set(authorizations())).toEqual(new Set(['Bearer from-plugin']));
    expect(await readFile(log, 'utf8')).toBe('x');
  });

  it('show nothing of what a failing exec plugin printed', async () => {
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', 'console.error("password is hunter2"); process.exit(1)'],
    };
    const fault: unknown = await loadConnection({
      kubeconfig: await writeKubeconfig({ user: { exec } }),
    }).catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: 'misconfigured' });
    expect(inspect(fault, { depth: 10 })).not.toContain('hunter2');
  });
});
