import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createKubernetesApi } from '../../src/sandbox/kubernetes-api/server.ts';
import { at, nameOf, versionOf } from './api-caller.ts';
import { startEmbeddedApi } from './embedded-api.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';

function configMap(name: string, data: object = {}) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' }, data } as const;
}

describe('watch history', () => {
  it('tells a watch that begins before it to list again', async () => {
    const { api, admin, caller, adminToken } = await startEmbeddedApi();
    const before = versionOf((await admin('GET', configMaps)).body);
    api.apply(configMap('a'));
    const watch = (version: string) =>
      caller.watch(`${configMaps}?watch=1&resourceVersion=${version}`, { token: adminToken });

    const early = await watch(before);
    expect((await early.next(1)).map(({ object }) => nameOf(object))).toEqual(['a']);
    early.close();

    api.compactWatchHistory();
    expect(await (await watch(before)).rest()).toMatchObject([
      { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } },
    ]);
    const now = await watch(versionOf((await admin('GET', configMaps)).body));
    api.apply(configMap('b'));
    expect((await now.next(1)).map(({ object }) => nameOf(object))).toEqual(['b']);
    now.close();
  });

  it('is bounded, resource by resource', async () => {
    const { api, admin, caller, adminToken } = await startEmbeddedApi({ watchHistoryLimit: 10 });
    const before = versionOf((await admin('GET', configMaps)).body);
    api.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'quiet', namespace: 'default' } });
    for (let round = 0; round < 40; round += 1) api.apply(configMap('busy', { round: String(round) }));
    const watch = (resource: string) =>
      caller.watch(`/api/v1/${resource}?watch=1&timeoutSeconds=1&resourceVersion=${before}`, {
        token: adminToken,
      });
    expect(await (await watch('configmaps')).rest()).toMatchObject([
      { type: 'ERROR', object: { code: 410 } },
    ]);
    expect(await (await watch('secrets')).next(1)).toMatchObject([{ type: 'ADDED' }]);
  });

  it('ends a timed watch with a bookmark for who wants one', async () => {
    const { admin, caller, adminToken } = await startEmbeddedApi();
    const version = versionOf((await admin('GET', configMaps)).body);
    const query = `watch=1&timeoutSeconds=1&resourceVersion=${version}`;
    const [plain, marked] = await Promise.all([
      caller.watch(`${configMaps}?${query}`, { token: adminToken }),
      caller.watch(`${configMaps}?${query}&allowWatchBookmarks=true`, { token: adminToken }),
    ]);
    expect(await plain.rest()).toEqual([]);
    expect(await marked.rest()).toMatchObject([
      { type: 'BOOKMARK', object: { kind: 'ConfigMap', metadata: { resourceVersion: version } } },
    ]);
  });

  it.each(['resourceVersion=abc', 'timeoutSeconds=soon'])('answers 400 to a watch from %s', async (query) => {
    const { admin } = await startEmbeddedApi();
    expect(await admin('GET', `${configMaps}?watch=1&${query}`)).toMatchObject({ status: 400 });
  });
});

describe('starting and stopping', () => {
  it('keeps objects, keys and port', async () => {
    const { api, port, admin, review } = await startEmbeddedApi();
    api.apply({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'alice', namespace: 'default' },
    });
    const token = await api.issueToken({
      namespace: 'default',
      name: 'alice',
      audiences: ['ours'],
      expirationSeconds: 600,
    });
    await api.stop();
    await expect(admin('GET', configMaps)).rejects.toThrow('ECONNREFUSED');
    api.apply(configMap('made-meanwhile'));
    expect(await api.start()).toEqual({ url: `http://127.0.0.1:${port}`, port });
    expect(await admin('GET', `${configMaps}/made-meanwhile`)).toMatchObject({ status: 200 });
    expect(await review(token)).toMatchObject({ authenticated: true });
  });

  it('may be stopped twice, and before it was started', async () => {
    const api = createKubernetesApi();
    await api.stop();
    await api.start();
    await api.stop();
    await api.stop();
  });

  it('refuses to start on a port that is taken', async () => {
    const { port } = await startEmbeddedApi();
    await expect(createKubernetesApi({ port }).start()).rejects.toThrow('EADDRINUSE');
  });

  it('disconnects its watchers and takes them back', async () => {
    const { api, admin, caller, adminToken } = await startEmbeddedApi();
    const stream = await caller.watch(`${configMaps}?watch=1`, { token: adminToken });
    api.disconnect();
    await expect(stream.next(1)).rejects.toThrow();
    expect(await admin('GET', configMaps)).toMatchObject({ status: 200 });
  });

  it('cuts off a watcher that does not read, and serves the others', async () => {
    const { api, admin, port, adminToken } = await startEmbeddedApi();
    const idle = connect(port, '127.0.0.1');
    onTestFinished(() => void idle.destroy());
    const closed = once(idle, 'close');
    idle.on('error', () => undefined);
    idle.pause();
    idle.write(
      `GET ${configMaps}?watch=1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${adminToken}\r\n\r\n`,
    );
    await vi.waitFor(() => expect(api.requestCount('configmaps', 'watch')).toBe(1));
    const text = 'x'.repeat(1_000_000);
    for (let round = 0; round < 40; round += 1) api.apply(configMap('large', { round: String(round), text }));
    expect(await admin('GET', `${configMaps}/large`)).toMatchObject({ status: 200 });
    idle.resume();
    await closed;
    expect(idle.bytesRead).toBeLessThan(30_000_000);
  });

  it('forgets watchers that left', async () => {
    const { api, admin, caller, adminToken } = await startEmbeddedApi();
    const stream = await caller.watch(`${configMaps}?watch=1`, { token: adminToken });
    stream.close();
    for (let round = 0; round < 100; round += 1) api.apply(configMap('a', { round: String(round) }));
    expect(at((await admin('GET', `${configMaps}/a`)).body, 'data', 'round')).toBe('99');
  });
});
