import type { KeyPairKeyObjectResult } from 'node:crypto';
import {
  createKubernetesApi,
  type KubernetesApi,
  type KubernetesApiOptions,
} from '../../src/sandbox/kubernetes-api/server.ts';
import { createKeyPair } from '../../src/sandbox/kubernetes-api/service-account-tokens.ts';

/** The first one of every server in this process, the second one, and so on. */
const pairs: KeyPairKeyObjectResult[] = [];

/**
 * The embedded API server, with signing keys that all of them in this process share: making a pair takes a tenth of a
 * second, and there are more than a hundred of these servers in one run. Each of one server's keys is another one.
 */
export function createTestKubernetesApi(options: KubernetesApiOptions = {}): KubernetesApi {
  let taken = 0;
  const newKeyPair = (): KeyPairKeyObjectResult => {
    const pair = pairs[taken] ?? createKeyPair();
    pairs[taken] = pair;
    taken += 1;
    return pair;
  };
  return createKubernetesApi({ newKeyPair, ...options });
}
