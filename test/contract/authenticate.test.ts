import { describeAuthenticate } from './authenticate.contract.ts';
import { startEmbeddedCluster } from './embedded-cluster.ts';

describeAuthenticate('the embedded API server', startEmbeddedCluster);
