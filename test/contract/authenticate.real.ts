import { describeAuthenticate } from './authenticate.contract.ts';
import { startRealCluster } from './real-cluster.ts';

describeAuthenticate('a real API server', startRealCluster);
