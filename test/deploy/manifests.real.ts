import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { KubeApiServer } from '../real/kube-apiserver.ts';
import { applyAll, startCluster } from './cluster.ts';
import { deploymentOf, objectOf } from './deployment.ts';
import {
  chart,
  deployFolder,
  helm,
  helmTemplate,
  kustomizations,
  kustomize,
  kustomizeText,
  kustomizeWith,
  objectsOf,
  type RenderedObject,
} from './render.ts';

const run = promisify(execFile);
const folders = await kustomizations('Kustomization');
const components = await kustomizations('Component');

describe('the manifests, applied server-side to a real API server', () => {
  let kube: KubeApiServer;

  beforeAll(async () => {
    kube = await startCluster();
  });

  afterAll(async () => {
    await kube.stop();
  });

  it('are all there', () => {
    expect(folders).toEqual(
      expect.arrayContaining(['base', 'overlays/envoy', 'overlays/envoy-gateway', 'overlays/istio', 'redis']),
    );
  });

  // The base first: what stands alone goes into its namespace.
  it.each(folders)('%s', async (folder) => {
    expect(await applyAll(kube, await kustomize(folder))).toEqual([]);
  });

  it.each(components)('the base, or its overlay, with %s', async (component) => {
    const folder = component.includes('/istio-') ? 'overlays/istio' : 'base';
    expect(await applyAll(kube, await kustomizeWith(folder, [component]))).toEqual([]);
  });

  it('the overlay that docs/install.md has everybody begin with', async () => {
    const page = readFileSync(join(deployFolder, '../docs/install.md'), 'utf8');
    const [, text = ''] = /```yaml\n# kustomization\.yaml\n(.*?)```/s.exec(page) ?? [];
    const processFile = readFileSync(join(deployFolder, 'base/config/tiergate.yaml'), 'utf8');
    const changed = processFile.replace('deadline: 800ms', 'deadline: 700ms');
    const objects = await kustomizeText(text.replaceAll('tiergate/deploy', deployFolder), {
      'tiergate.yaml': changed,
    });
    expect(await applyAll(kube, objects)).toEqual([]);
    const { containers, volumes } = deploymentOf(objects, 'tiergate-authorizer').spec.template.spec;
    expect(containers[0].image).toBe('registry.example.com/tiergate:0.1.0');
    const configMap = volumes.find(({ configMap: its }) => its !== undefined)?.configMap?.name ?? '';
    expect(objectOf(objects, 'ConfigMap', configMap).data).toEqual({ 'tiergate.yaml': changed });
  });

  it('the example of a policy', async () => {
    const text = readFileSync(join(deployFolder, 'policy/tier-to-group-mapping.yaml'), 'utf8');
    expect(await applyAll(kube, objectsOf(text))).toEqual([]);
  });

  it('what helm renders, with everything switched on, for a policy that is elsewhere', async () => {
    const values = {
      image: { repository: 'registry.example.com:5000/tiergate', pullSecrets: ['registry'] },
      gateway: { trust: ['10.128.0.0/14', 'fd01::/48'] },
      policy: { namespace: 'openshift-ingress', name: 'tiers', tiers: [{ name: 'free' }] },
      issuer: { createNamespaces: true, tolerations: [{ key: 'infra', operator: 'Exists' }] },
      authorizer: { nodeSelector: { disk: 'ssd' }, priorityClassName: 'high' },
      registrar: {
        enabled: true,
        config: { escalation: 'e', requester: 'r', clusters: {}, store: {}, instances: [] },
      },
      monitoring: { enabled: true, labels: { release: 'prometheus' } },
    };
    expect(await applyAll(kube, await helmTemplate(values))).toEqual([]);
  });

  it('have pods that a namespace for restricted ones admits, on a file system that they can not write', async () => {
    const objects = [
      ...(await kustomizeWith('base', ['components/registrar'])),
      ...(await kustomize('envoy')),
    ];
    expect(await applyAll(kube, objects)).toEqual([]);
    const deployments = objects.filter(({ kind }) => kind === 'Deployment');
    expect(deployments).toHaveLength(4);
    for (const { metadata } of deployments) {
      const { spec } = deploymentOf(objects, metadata.name).spec.template;
      for (const { securityContext } of spec.containers)
        expect(securityContext, metadata.name).toMatchObject({ readOnlyRootFilesystem: true });
      const pods = `/api/v1/namespaces/${metadata.namespace}/pods?dryRun=All`;
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: metadata.name }, spec };
      const { status, body } = await kube.client().post(pods, pod);
      expect({ status, body: status === 201 ? undefined : body }).toEqual({ status: 201, body: undefined });
      const asRoot = { ...pod, spec: { ...spec, securityContext: { runAsUser: 0 } } };
      expect((await kube.client().post(pods, asRoot)).status).toBe(403);
    }
  });

  it('are refused with a field that the API does not know, here and in the objects of others', async () => {
    const misspelt = JSON.parse(
      JSON.stringify(await kustomize('overlays/envoy-gateway'))
        .replace('"failOpen"', '"failOpne"')
        .replace('"terminationGracePeriodSeconds"', '"terminationGracePeriod"'),
    ) as readonly RenderedObject[];
    const refused = await applyAll(kube, misspelt);
    expect(refused).toEqual([
      expect.stringContaining('terminationGracePeriod'),
      expect.stringContaining('failOpne'),
    ]);
  });

  it('are installed, upgraded and removed by helm, which leaves the namespaces of tiers with their tokens', async () => {
    const admin = kube.client();
    const kubeconfig = await kube.writeKubeconfig(kube.adminToken);
    const asRelease = ['--kubeconfig', kubeconfig, '--namespace', 'second'];
    // Its cluster-wide objects and namespaces are those of the base, which is there already.
    const own = [...asRelease, '--create-namespace', '--take-ownership', '--force-conflicts'];
    await helm(['install', 'tiergate', chart, ...own]);
    const scaled = ['--set', 'issuer.replicas=3', '--force-conflicts'];
    await helm(['upgrade', 'tiergate', chart, ...asRelease, ...scaled]);
    const path = '/apis/apps/v1/namespaces/second/deployments/tiergate-issuer';
    expect((await admin.get(path)).body).toMatchObject({ spec: { replicas: 3 } });
    await helm(['uninstall', 'tiergate', ...asRelease]);
    expect((await admin.get(path)).status).toBe(404);
    const tier = await admin.get('/api/v1/namespaces/maas-default-gateway-tier-free');
    expect(tier.body).toMatchObject({ status: { phase: 'Active' } });
  });
});

describe('the process files in the ConfigMaps', () => {
  const files: Readonly<Record<string, () => Promise<readonly RenderedObject[]>>> = {
    'of the base': () => kustomize('base'),
    'of the registrar': () => kustomizeWith('base', ['components/registrar']),
    'of the chart': () => helmTemplate(),
    'of the chart, with much of it changed': () =>
      helmTemplate({
        instance: 'team-gateway',
        gateway: { trust: ['10.128.0.0/14', 'fd01::/48'] },
        policy: { namespace: 'maas-api' },
        redis: { url: '', usernameKey: 'user', passwordKey: '' },
        issuer: { createNamespaces: true },
        config: {
          redis: { cluster: ['redis-0:6379', 'redis-1:6379'], passwordFile: '/etc/tiergate/secrets/pw' },
          listeners: { ops: { address: '0.0.0.0:9091' } },
          log: { decisions: 'all' },
        },
      }),
  };

  it.each(Object.entries(files))('%s pass tiergate check-config', async (_which, render) => {
    const texts = (await render())
      .filter(({ kind, metadata }) => kind === 'ConfigMap' && /^tiergate-.*config/.test(metadata.name))
      .flatMap(({ data }) => Object.entries(data ?? {}));
    expect(texts).not.toEqual([]);
    const folder = await mkdtemp(join(tmpdir(), 'tiergate-process-files-'));
    for (const [name, text] of texts) {
      await writeFile(join(folder, name), text);
      const { stdout } = await run(process.execPath, [
        inject('programPath'),
        'check-config',
        join(folder, name),
      ]);
      expect(stdout).toContain('valid');
    }
    await rm(folder, { recursive: true });
  });
});
