import { afterAll, beforeAll } from 'vitest';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { createKubernetesApi } from '../../src/sandbox/kubernetes-api/server.ts';
import { createSecret } from '../../src/secret.ts';
import { describeSecretStore } from './client-secret-contract.ts';

const api = createKubernetesApi({
  users: [{ token: 'admin-token', username: 'admin', groups: ['system:masters'] }],
});
let client: KubernetesClient;

beforeAll(async () => {
  const { url } = await api.start();
  client = createKubernetesClient({
    connection: createFixedConnection({ server: url, token: createSecret('admin-token') }),
    timeoutMs: 5_000,
  });
});
afterAll(async () => {
  client.close();
  await api.stop();
});

describeSecretStore('the embedded Kubernetes API', () => ({ client, namespace: 'default' }));
