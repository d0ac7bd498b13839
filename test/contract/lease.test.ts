import { createTestKubernetesApi } from '../support/test-kubernetes-api.ts';
import { describeLease } from './lease.contract.ts';

describeLease('the embedded API server', async () => {
  const adminToken = 'admin-token';
  const kube = createTestKubernetesApi({
    users: [{ token: adminToken, username: 'admin', groups: ['system:masters'] }],
  });
  const { url } = await kube.start();
  return { url, adminToken, stop: kube.stop };
});
