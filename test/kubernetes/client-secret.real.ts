import { afterAll, beforeAll, expect, test } from 'vitest';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createSecretStore } from '../../src/kubernetes/client-secret.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { missingSecretRights } from '../../src/kubernetes/secret-rights.ts';
import { createSecret } from '../../src/secret.ts';
import { type KubeApiServer, startKubeApiServer } from '../real/kube-apiserver.ts';
import { describeSecretStore } from './client-secret-contract.ts';

const namespace = 'default';
const stranger = { name: 'stranger', token: 'token-of-a-stranger', groups: ['nobody'] };
let server: KubeApiServer;
let client: KubernetesClient;

function clientOf(token: string): KubernetesClient {
  return createKubernetesClient({
    connection: createFixedConnection({
      server: server.url,
      caPem: server.caPem,
      token: createSecret(token),
    }),
    timeoutMs: 5_000,
  });
}

beforeAll(async () => {
  server = await startKubeApiServer({ users: [stranger] });
  client = clientOf(server.adminToken);
});
afterAll(async () => {
  client.close();
  await server.stop();
});

describeSecretStore('a real kube-apiserver', () => ({ client, namespace }));

test('a real kube-apiserver: missing rights are known without trying them', async () => {
  const signal = AbortSignal.timeout(10_000);
  const nobody = clientOf(stranger.token);
  expect(await missingSecretRights(client, namespace, signal)).toEqual([]);
  expect(await missingSecretRights(nobody, namespace, signal)).toEqual(
    ['get', 'list', 'create', 'update', 'delete'].map(
      (verb) => `${verb} on Secrets of namespace ${namespace} is not allowed`,
    ),
  );
  const store = createSecretStore({ client: nobody, namespace, part: 'x' });
  await expect(store.list(signal)).rejects.toMatchObject({ dependency: 'kubernetes', code: 'misconfigured' });
  nobody.close();
});
