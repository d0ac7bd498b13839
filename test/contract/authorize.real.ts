import { describeAuthorize } from './authorize.contract.ts';
import { startRealCluster } from './real-cluster.ts';

describeAuthorize('a real API server', startRealCluster);
