import { describeAuthorize } from './authorize.contract.ts';
import { startEmbeddedCluster } from './embedded-cluster.ts';

describeAuthorize('the embedded API server', startEmbeddedCluster);
