import { startKubeApiServer } from '../real/kube-apiserver.ts';
import { opaqueUser, type StartCluster } from './authorizer-world.ts';

export const startRealCluster: StartCluster = async ({ apiAudiences } = {}) => {
  const server = await startKubeApiServer({
    users: [opaqueUser],
    ...(apiAudiences !== undefined && { extraArgs: [`--api-audiences=${apiAudiences.join(',')}`] }),
  });
  return {
    url: server.url,
    caPem: server.caPem,
    adminToken: server.adminToken,
    // Hard-coded in kube-apiserver.
    reviewSuccessCacheMs: 10_000,
    countReviews: (resource) => server.reviews(resource).length,
    goAway: server.kill,
    comeBack: server.restart,
    stop: server.stop,
  };
};
