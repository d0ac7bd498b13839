import { createTestKubernetesApi } from '../support/test-kubernetes-api.ts';
import { describeIssue, issueUsers, maxTokenHours } from './issue.contract.ts';

describeIssue('the embedded API server', {
  reviewSuccessCacheMs: 0,
  start: async () => {
    const adminToken = 'admin-token';
    const kube = createTestKubernetesApi({
      users: [
        { token: adminToken, username: 'admin', groups: ['system:masters'] },
        ...issueUsers.map(({ name, token, groups }) => ({ username: name, token, groups })),
      ],
      maxTokenExpirationSeconds: maxTokenHours * 3600,
    });
    const { url } = await kube.start();
    return { url, adminToken, stop: kube.stop };
  },
});
