import { beforeAll, describe } from 'vitest';
import { createWorld, type KubernetesApiUnderTest, type World } from './kubernetes-api-world.ts';
import { describeAccess } from './kubernetes-access.contract.ts';
import { describeObjects } from './kubernetes-objects.contract.ts';
import { describeLifecycles } from './kubernetes-lifecycles.contract.ts';
import { describeTokens } from './kubernetes-tokens.contract.ts';
import { describeWatches } from './kubernetes-watches.contract.ts';

/**
 * What tiergate and its tests rely on of a Kubernetes API server, asked over plain HTTP: the same of the
 * sandbox's stand-in and of kube-apiserver with kube-controller-manager.
 */
export function describeKubernetesApi(name: string, start: () => Promise<KubernetesApiUnderTest>): void {
  describe(`the Kubernetes API of ${name}`, () => {
    let world: World;
    beforeAll(async () => {
      const api = await start();
      world = createWorld(api);
      return api.stop;
    });

    describeObjects(() => world);
    describeLifecycles(() => world);
    describeWatches(() => world);
    describeTokens(() => world);
    describeAccess(() => world);
  });
}
