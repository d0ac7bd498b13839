import { startKubeApiServer } from '../real/kube-apiserver.ts';
import { describeLease } from './lease.contract.ts';

describeLease('a real API server', () => startKubeApiServer());
