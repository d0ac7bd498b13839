import { accessAudience, contractUsers } from '../contract/kubernetes-api-world.ts';
import { describeKubernetesApi } from '../contract/kubernetes-api.contract.ts';
import { createTestKubernetesApi } from '../support/test-kubernetes-api.ts';

describeKubernetesApi('the sandbox', async () => {
  const adminToken = 'contract-token-of-admin';
  const admin = { token: adminToken, username: 'admin', groups: ['system:masters'] };
  const api = createTestKubernetesApi({ users: [admin, contractUsers.alice, contractUsers.bob] });
  const { url } = await api.start();
  return {
    url,
    adminToken,
    sign: ({ namespace, name, endsInSeconds }) =>
      api.issueToken({
        namespace,
        name,
        audiences: [accessAudience],
        issuedAtMs: Date.now() + (endsInSeconds - 600) * 1000,
        expirationSeconds: 600,
      }),
    stop: api.stop,
  };
});
