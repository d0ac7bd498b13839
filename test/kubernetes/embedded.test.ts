import { afterEach, expect, it, vi } from 'vitest';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { createSignatureVerifier } from '../../src/kubernetes/jwks.ts';
import { createNamespacedMetadata } from '../../src/kubernetes/namespaced-metadata.ts';
import { createSecret } from '../../src/secret.ts';
import { alice, type EmbeddedApi, startEmbeddedApi } from '../sandbox/embedded-api.ts';

let client: KubernetesClient | undefined;

afterEach(() => client?.close());

async function start(): Promise<EmbeddedApi & { readonly client: KubernetesClient }> {
  const embedded = await startEmbeddedApi();
  const server = `http://127.0.0.1:${embedded.port}`;
  client = createKubernetesClient({
    connection: createFixedConnection({ server, token: createSecret(embedded.adminToken) }),
    timeoutMs: 2_000,
  });
  return { ...embedded, client };
}

const secret = (name: string, labels: Readonly<Record<string, string>>) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'default', labels, annotations: { 'tiergate.dev/jti': `jti-${name}` } },
  data: { token: Buffer.from('nobody may see this').toString('base64') },
});

it('Secrets are followed by their label, and of each its metadata alone', async () => {
  const { api, client: kubernetes } = await start();
  const issued = { 'tiergate.dev/token': 'true' };
  api.apply(secret('tgt-1', issued));
  api.apply(secret('unrelated', {}));
  const removed: string[] = [];
  const secrets = createNamespacedMetadata({
    client: kubernetes,
    resource: 'secrets',
    namespaces: ['default'],
    labelSelector: 'tiergate.dev/token=true',
    annotations: [],
    onChange: (_namespace, change) => {
      if (change.type === 'removed') removed.push(change.object.name);
    },
  });
  await secrets.synced();
  expect(secrets.states().get('default')?.objects).toBe(1);
  const made = api.apply(secret('tgt-2', issued));
  const identity = { namespace: 'default', name: 'tgt-2', uid: made.metadata.uid };
  await vi.waitFor(() => expect(secrets.find(identity)).toEqual({ ...identity, annotations: {} }));
  expect(await secrets.lookUp(identity)).toEqual({ ...identity, annotations: {} });
  expect(await secrets.lookUp({ ...identity, uid: 'another' })).toBeUndefined();

  api.remove({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'tgt-2', namespace: 'default' } });
  await vi.waitFor(() => expect(removed).toEqual(['tgt-2']));
  // One that loses the label is followed no longer.
  api.apply(secret('tgt-1', { 'tiergate.dev/token': 'false' }));
  await vi.waitFor(() => expect(removed).toEqual(['tgt-2', 'tgt-1']));
  secrets.stop();
});

it('a rotated signing key is found by the first token that it signed; the old one goes on until it is dropped', async () => {
  const { api, client: kubernetes } = await start();
  api.apply(alice);
  const { verify } = createSignatureVerifier({ client: kubernetes });
  const mint = async () =>
    createSecret(
      await api.issueToken({
        namespace: 'default',
        name: 'alice',
        audiences: ['ours'],
        expirationSeconds: 600,
      }),
    );
  const old = await mint();
  expect(await verify(old)).toBe('valid');
  api.rotateSigningKey();
  const fresh = await mint();
  const tokens = await Promise.all(Array.from({ length: 20 }, mint));
  expect(await Promise.all([fresh, old, ...tokens].map(verify))).toEqual(Array(22).fill('valid'));
  expect(api.requestCount('/openid/v1/jwks')).toBe(2);

  api.rotateSigningKey();
  api.dropOldSigningKeys();
  expect(await verify(await mint())).toBe('valid');
  expect(await verify(old)).toBe('invalid');
});
