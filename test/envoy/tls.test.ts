import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { credentials, status } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { createCertificateAuthority } from '../real/certificates.ts';
import { sampleRequest } from './sample.ts';
import { atEnd, describeOnEachTransport, serve } from './serve.ts';

const serverCa = createCertificateAuthority('servers');
const clientCa = createCertificateAuthority('clients');

async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tiergate-tls-'));
  atEnd(() => rm(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

function serverPair(name: string) {
  const { certPem, keyPem } = serverCa.issue(name, ['127.0.0.1', 'localhost']);
  return { 'tls.crt': certPem, 'tls.key': keyPem };
}

function trusting(ca = serverCa, client?: { certPem: string; keyPem: string }) {
  return credentials.createSsl(
    Buffer.from(ca.caPem),
    client === undefined ? null : Buffer.from(client.keyPem),
    client === undefined ? null : Buffer.from(client.certPem),
  );
}

/** The subject of the certificate that a new connection is shown. */
function shownTo(address: string): Promise<string> {
  const [host, port] = address.split(':');
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host, port: Number(port), ca: serverCa.caPem, ALPNProtocols: ['h2'] }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

async function serveTls(files: Readonly<Record<string, string>>, withClientCa = false) {
  const folder = await folderOf(files);
  const served = await serve({
    tls: {
      cert: join(folder, 'tls.crt'),
      key: join(folder, 'tls.key'),
      clientCa: withClientCa ? join(folder, 'ca.crt') : undefined,
    },
    tuning: { certificatePollMs: 3_600_000 },
  });
  const { connect, server } = served;
  const replace = async (changed: Readonly<Record<string, string>>) => {
    for (const [name, text] of Object.entries(changed)) {
      // As kubelet and cert-manager do it: a new file takes the place of the old one.
      await writeFile(join(folder, `${name}.new`), text);
      await rename(join(folder, `${name}.new`), join(folder, name));
    }
    await server.reloadCertificates();
  };
  /** Checks over a connection of its own: grpc-js would share one between clients with equal settings. */
  const connectAlone = (channel: ReturnType<typeof trusting>) =>
    connect(channel, { 'grpc.use_local_subchannel_pool': 1, 'grpc.ssl_target_name_override': 'localhost' });
  const check = (channel: ReturnType<typeof trusting>, timeoutMs = 5000) =>
    connectAlone(channel).check(sampleRequest(), timeoutMs);
  return { ...served, folder, replace, check, connectAlone };
}

describeOnEachTransport('TLS', () => {
  it('serves with the certificate of the files, and not without TLS', async () => {
    const { check } = await serveTls(serverPair('first'));
    expect(await check(trusting())).toMatchObject({ http_response: 'ok_response' });
    await expect(check(credentials.createInsecure(), 500)).rejects.toMatchObject({
      code: expect.toBeOneOf([status.UNAVAILABLE, status.DEADLINE_EXCEEDED]),
    });
    await expect(check(trusting(clientCa), 500)).rejects.toThrow();
  });

  it('shows new connections a new certificate, and leaves open ones alone', async () => {
    const { address, connectAlone, replace } = await serveTls(serverPair('first'));
    const open = connectAlone(trusting());
    await open.check(sampleRequest());
    expect(await shownTo(address)).toBe('first');
    await replace(serverPair('second'));
    expect(await shownTo(address)).toBe('second');
    expect(await open.check(sampleRequest())).toMatchObject({ http_response: 'ok_response' });
  });

  it('goes on with the old certificate while the new files do not fit together, and says so once', async () => {
    const { address, replace, server, faults } = await serveTls(serverPair('first'));
    const second = serverPair('second');
    await replace({ 'tls.crt': second['tls.crt'] });
    await server.reloadCertificates();
    expect(await shownTo(address)).toBe('first');
    expect(faults).toMatchObject([{ fault: 'certificates', error: expect.any(Error) }]);
    await replace({ 'tls.key': second['tls.key'] });
    expect(await shownTo(address)).toBe('second');
    expect(faults).toHaveLength(1);
  });

  it('goes on with the old certificate when a file is gone', async () => {
    const { address, folder, server, faults } = await serveTls(serverPair('first'));
    await rm(join(folder, 'tls.key'));
    await server.reloadCertificates();
    expect(await shownTo(address)).toBe('first');
    expect(faults).toMatchObject([{ error: { code: 'ENOENT' } }]);
  });

  it('notices by itself that a mounted Secret was swapped', async () => {
    const folder = await folderOf({});
    for (const name of ['first', 'second']) {
      await mkdir(join(folder, name));
      for (const [file, text] of Object.entries(serverPair(name))) {
        await writeFile(join(folder, name, file), text);
      }
    }
    await symlink('first', join(folder, '..data'));
    const { address } = await serve({
      tls: { cert: join(folder, '..data', 'tls.crt'), key: join(folder, '..data', 'tls.key') },
      tuning: { certificatePollMs: 10 },
    });
    expect(await shownTo(address)).toBe('first');
    await symlink('second', join(folder, '..next'));
    await rename(join(folder, '..next'), join(folder, '..data'));
    await expect.poll(() => shownTo(address), { timeout: 5000, interval: 20 }).toBe('second');
  });

  it.each([
    ['is missing', {}],
    ['is no PEM', { 'tls.crt': 'certificate', 'tls.key': 'key' }],
    ['has another key', { ...serverPair('a'), 'tls.key': serverPair('b')['tls.key'] }],
  ])('does not start with a certificate that %s', async (_what, files) => {
    await expect(serveTls(files)).rejects.toThrow();
  });
});

describeOnEachTransport('mutual TLS', () => {
  const files = { ...serverPair('server'), 'ca.crt': clientCa.caPem };
  const envoy = clientCa.issue('envoy', []);

  it('takes calls of clients with a certificate of the authority only', async () => {
    const { check } = await serveTls(files, true);
    expect(await check(trusting(serverCa, envoy))).toMatchObject({ http_response: 'ok_response' });
    await expect(check(trusting(), 500)).rejects.toThrow();
    await expect(check(trusting(serverCa, serverCa.issue('stranger', [])), 500)).rejects.toThrow();
  });

  it('follows a change of the authority', async () => {
    const { check, replace } = await serveTls(files, true);
    const nextCa = createCertificateAuthority('next clients');
    await replace({ 'ca.crt': nextCa.caPem });
    expect(await check(trusting(serverCa, nextCa.issue('envoy', [])))).toMatchObject({
      http_response: 'ok_response',
    });
    await expect(check(trusting(serverCa, envoy), 500)).rejects.toThrow();
  });

  it('does not start with an authority that is no certificate', async () => {
    await expect(serveTls({ ...files, 'ca.crt': 'nobody' }, true)).rejects.toThrow();
  });
});
