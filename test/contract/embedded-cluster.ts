import { createTestKubernetesApi } from '../support/test-kubernetes-api.ts';
import { opaqueUser, type StartCluster } from './authorizer-world.ts';

/** As the real server's 10 s, in less time. */
const reviewSuccessCacheMs = 200;

export const startEmbeddedCluster: StartCluster = async ({ apiAudiences } = {}) => {
  const adminToken = 'admin-token';
  const api = createTestKubernetesApi({
    users: [
      { token: adminToken, username: 'admin', groups: ['system:masters'] },
      { token: opaqueUser.token, username: opaqueUser.name, groups: opaqueUser.groups },
    ],
    reviewSuccessCacheMs,
    ...(apiAudiences !== undefined && { apiAudiences }),
  });
  const { url } = await api.start();
  return {
    url,
    adminToken,
    reviewSuccessCacheMs,
    countReviews: (resource) => api.requestCount(resource),
    goAway: api.stop,
    comeBack: async () => {
      await api.start();
    },
    stop: api.stop,
  };
};
