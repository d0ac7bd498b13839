import { applyManifests, collectionOf, installModelDefinition } from '../real/apply-manifests.ts';
import { type KubeApiServer, type KubeApiServerOptions, startKubeApiServer } from '../real/kube-apiserver.ts';
import { foreignCollections, foreignDefinitions } from './foreign-definitions.ts';
import type { RenderedObject } from './render.ts';

/** A cluster that knows the kinds of others which our manifests use, with the namespace that overlays put gateway objects in. */
export async function startCluster(options: KubeApiServerOptions = {}): Promise<KubeApiServer> {
  const kube = await startKubeApiServer({ controllerManager: true, ...options });
  try {
    const admin = kube.client();
    await installModelDefinition(admin);
    await applyManifests(admin, foreignDefinitions);
    await applyManifests(admin, [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'openshift-ingress' } },
    ]);
    const untilMs = Date.now() + 20_000;
    for (const path of foreignCollections) {
      while ((await admin.get(path)).status !== 200) {
        if (Date.now() > untilMs) throw new Error(`the API server does not serve ${path}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    return kube;
  } catch (cause) {
    await kube.stop();
    throw cause;
  }
}

/** Server-side apply in the order given, as `kubectl apply --server-side --validate=strict`. Says what was refused, and why. */
export async function applyAll(
  kube: KubeApiServer,
  objects: readonly RenderedObject[],
): Promise<readonly string[]> {
  const admin = kube.client();
  const refused: string[] = [];
  for (const object of objects) {
    const { status, body } = await admin.apply(`${collectionOf(object)}/${object.metadata.name}`, object);
    if (status !== 200 && status !== 201) {
      const { message } = body as { readonly message?: string };
      refused.push(`${object.kind} ${object.metadata.name}: ${message ?? status}`);
    }
  }
  return refused;
}
