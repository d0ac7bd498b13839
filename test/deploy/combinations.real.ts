import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { deploymentOf, objectOf } from './deployment.ts';
import { deployFolder, kustomizations, kustomize, kustomizeWith, type RenderedObject } from './render.ts';

const page = readFileSync(join(deployFolder, '../docs/install.md'), 'utf8');

/** By the names that docs/install.md has for them. */
const folders: Readonly<Record<string, string>> = Object.fromEntries(
  (await kustomizations('Kustomization'))
    .filter((folder) => folder === 'base' || folder.startsWith('overlays/'))
    .map((folder) => [folder.replace('overlays/', ''), folder]),
);
const overlays = Object.keys(folders);

/** Overlays by component, as the table of docs/install.md has them: `| component | overlays | what |`. */
const suggested = tableBelow('| component | with the overlays |').map(
  ([component = '', withOverlays = '']) => ({
    component: namesIn(component).join(),
    overlays: namesIn(withOverlays),
  }),
);

function tableBelow(head: string): readonly (readonly string[])[] {
  const [, below = ''] = page.split(head);
  const [, , ...lines] = below.split('\n');
  const end = lines.findIndex((line) => !line.startsWith('|'));
  return lines.slice(0, end).map((line) => line.split('|').slice(1));
}

function namesIn(cell: string): readonly string[] {
  if (cell.trim() === 'all') return overlays;
  return [...cell.matchAll(/`([a-z-]+)`/g)].map(([, name = '']) => name);
}

function componentsOf(overlay: string): readonly string[] {
  return suggested
    .filter((row) => row.overlays.includes(overlay))
    .map(({ component }) => `components/${component}`);
}

interface PodSpec {
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly initContainers?: readonly Pick<PodSpec, 'securityContext'>[];
  readonly containers?: readonly Pick<PodSpec, 'securityContext'>[];
}

/** Of Deployments, StatefulSets, and what Istio merges into a Deployment of its own. */
function podsOf(objects: readonly RenderedObject[]): readonly PodSpec[] {
  const options = objects.filter(({ metadata }) => metadata.name === 'tiergate-gateway-options');
  const workloads = [
    ...objects.filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet'),
    ...options.map(({ data }) => parse(data?.['deployment'] ?? '') as RenderedObject),
  ];
  return workloads.map(({ spec }) => (spec as { template: { spec: PodSpec } }).template.spec);
}

/** The users and groups that pods and containers choose by themselves. */
function chosenIds(objects: readonly RenderedObject[]): readonly string[] {
  return podsOf(objects)
    .flatMap((pod) => [[pod], pod.initContainers ?? [], pod.containers ?? []].flat())
    .flatMap(({ securityContext = {} }) => Object.keys(securityContext))
    .filter((key) => ['runAsUser', 'runAsGroup', 'fsGroup'].includes(key));
}

describe('the components of docs/install.md', () => {
  it('are all that there are, each with an overlay that there is', async () => {
    const there = (await kustomizations('Component')).map((folder) => folder.replace('components/', ''));
    expect(suggested.map(({ component }) => component).toSorted()).toEqual(there);
    for (const row of suggested) {
      expect(row.overlays, row.component).not.toEqual([]);
      expect(overlays, row.component).toEqual(expect.arrayContaining([...row.overlays]));
    }
  });

  it.each(overlays)('%s renders with each of its components, and with all of them', async (overlay) => {
    const own = componentsOf(overlay);
    const choices = [[], ...own.map((component) => [component]), own];
    const made = await Promise.all(
      choices.map((choice) => kustomizeWith(folders[overlay] ?? overlay, choice)),
    );
    for (const objects of made) expect(objects).not.toEqual([]);
  });
});

describe('on OpenShift', () => {
  it.each(overlays)('no pod of %s chooses its user or group', async (overlay) => {
    expect(chosenIds(await kustomize(folders[overlay] ?? overlay))).not.toEqual([]);
    const objects = await kustomizeWith(folders[overlay] ?? overlay, ['components/openshift']);
    expect(chosenIds(objects)).toEqual([]);
  });

  it('nor does that of Redis', async () => {
    expect(chosenIds(await kustomize('redis'))).not.toEqual([]);
    expect(chosenIds(await kustomize('redis-openshift'))).toEqual([]);
  });

  it('the gateway of sidecar-istio is the same but for that', async () => {
    const optionsOf = (objects: readonly RenderedObject[]): unknown =>
      parse(
        objectOf(objects, 'ConfigMap', 'tiergate-gateway-options').data?.['deployment'] ?? '',
        (key, value) => {
          if (key === 'runAsUser' || key === 'runAsGroup' || key === 'fsGroup') return undefined;
          const isEmptied = key === 'securityContext' && Object.keys(value as object).length === 0;
          return isEmptied ? undefined : value;
        },
      );
    const changed = await kustomizeWith('overlays/sidecar-istio', ['components/openshift']);
    expect(optionsOf(changed)).toEqual(optionsOf(await kustomize('overlays/sidecar-istio')));
  });
});

interface Peer {
  readonly namespaceSelector?: { readonly matchLabels: Readonly<Record<string, string>> };
  readonly podSelector?: { readonly matchLabels: Readonly<Record<string, string>> };
}

/** Who may come to Redis, by the policies of deploy/redis and of an overlay together. */
async function peersOfRedis(overlay: string): Promise<readonly Peer[]> {
  const objects = [...(await kustomize('redis')), ...(await kustomize(folders[overlay] ?? overlay))];
  return objects
    .filter(({ kind }) => kind === 'NetworkPolicy')
    .map(({ spec }) => spec as { podSelector: Peer['podSelector']; ingress: { from: readonly Peer[] }[] })
    .filter(({ podSelector }) => podSelector?.matchLabels['app.kubernetes.io/component'] === 'redis')
    .flatMap(({ ingress }) => ingress.flatMap(({ from }) => from));
}

describe('the Redis of deploy/redis lets in', () => {
  it.each([
    ['istio', 'tiergate-authorizer'],
    ['istio', 'tiergate-issuer'],
    ['sidecar-envoy', 'tiergate-gateway'],
    ['sidecar-istio', 'tiergate-issuer'],
  ])('with %s the pods of %s', async (overlay, name) => {
    const { template } = deploymentOf(await kustomize(folders[overlay] ?? overlay), name).spec;
    const labels = template.metadata.labels ?? {};
    const admitting = (await peersOfRedis(overlay)).filter(
      ({ namespaceSelector, podSelector }) =>
        namespaceSelector === undefined &&
        Object.entries(podSelector?.matchLabels ?? {}).every(([key, value]) => labels[key] === value),
    );
    expect(admitting).toHaveLength(1);
  });

  it("with sidecar-istio the pods of the Gateway, in a namespace with the gateways' label", async () => {
    expect(await peersOfRedis('sidecar-istio')).toContainEqual({
      namespaceSelector: { matchLabels: { 'tiergate.dev/gateway': 'true' } },
      podSelector: { matchLabels: { 'gateway.networking.k8s.io/gateway-name': 'maas-default-gateway' } },
    });
  });
});
