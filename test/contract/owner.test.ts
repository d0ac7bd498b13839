import { describeOwner } from './owner.contract.ts';
import { startEmbeddedCluster } from './embedded-cluster.ts';

describeOwner('the embedded API server', startEmbeddedCluster);
