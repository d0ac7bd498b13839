import { startKubeApiServer } from '../real/kube-apiserver.ts';
import { describeIssue, issueUsers, maxTokenHours } from './issue.contract.ts';

describeIssue('a real API server', {
  reviewSuccessCacheMs: 10_000,
  start: () =>
    startKubeApiServer({
      users: issueUsers,
      extraArgs: [`--service-account-max-token-expiration=${maxTokenHours}h`],
    }),
});
