import { describeOwner } from './owner.contract.ts';
import { startRealCluster } from './real-cluster.ts';

describeOwner('a real API server', startRealCluster);
