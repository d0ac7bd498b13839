import { describe, expect, it } from 'vitest';
import { itemsOf, nameOf } from './api-caller.ts';
import { startEmbeddedApi } from './embedded-api.ts';

const configMap = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'a', namespace: 'default' },
} as const;

describe('the handle for one process', () => {
  it('creates, merges, finds and removes', async () => {
    const { api } = await startEmbeddedApi();
    api.apply({ ...configMap, data: { kept: '1' } });
    expect(api.apply({ ...configMap, data: { more: '2' } })).toMatchObject({
      data: { kept: '1', more: '2' },
    });
    expect(api.find(configMap)).toMatchObject({ data: { kept: '1', more: '2' } });
    api.remove(configMap);
    expect(api.find(configMap)).toBeUndefined();
    expect(() => api.remove(configMap)).toThrow('configmaps "a" not found');
  });

  it('keeps a copy of what it is given', async () => {
    const { api } = await startEmbeddedApi();
    const data = { k: 'before' };
    api.apply({ ...configMap, data });
    data.k = 'after';
    expect(api.find(configMap)).toMatchObject({ data: { k: 'before' } });
  });

  it('validates as a request would', async () => {
    const { api } = await startEmbeddedApi();
    const named = (name: string, namespace: string) => ({ ...configMap, metadata: { name, namespace } });
    expect(() => api.apply(named('Upper', 'default'))).toThrow(/metadata\.name/);
    expect(() => api.apply(named('a', 'none-such'))).toThrow('namespaces "none-such" not found');
    expect(() => api.apply({ apiVersion: 'v1', kind: 'Widget', metadata: { name: 'a' } })).toThrow(
      /no kind "Widget"/,
    );
  });

  it('takes the status of a model, as its controller would set it', async () => {
    const { api, admin } = await startEmbeddedApi();
    api.apply({
      apiVersion: 'serving.kserve.io/v1alpha1',
      kind: 'LLMInferenceService',
      metadata: { name: 'llama', namespace: 'default' },
      spec: { model: { name: 'llama' } },
      status: { conditions: [{ type: 'Ready', status: 'True' }] },
    });
    const { body } = await admin('GET', '/apis/serving.kserve.io/v1alpha1/llminferenceservices');
    expect(itemsOf(body)).toMatchObject([
      { metadata: { generation: 1 }, status: { conditions: [{ status: 'True' }] } },
    ]);
  });
});

describe('custom resources', () => {
  it('exist while their definition does', async () => {
    const { api, admin } = await startEmbeddedApi();
    const path = '/apis/cluster.example.org/v1/managedclusters';
    const definition = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'managedclusters.cluster.example.org' },
      spec: {
        group: 'cluster.example.org',
        scope: 'Cluster',
        names: { plural: 'managedclusters', kind: 'ManagedCluster' },
        versions: [{ name: 'v1', served: true, storage: true }],
      },
    } as const;
    expect(await admin('GET', path)).toMatchObject({ status: 404 });
    api.apply(definition);
    const body = { apiVersion: 'cluster.example.org/v1', kind: 'ManagedCluster', metadata: { name: 'one' } };
    expect(await admin('POST', path, { body })).toMatchObject({ status: 201 });
    expect(itemsOf((await admin('GET', path)).body).map(nameOf)).toEqual(['one']);
    api.remove(definition);
    expect(await admin('GET', path)).toMatchObject({ status: 404 });
  });
});

describe('what the real server knows and this one does not', () => {
  it.each([
    ['POST', '/api/v1/namespaces?dryRun=All', { metadata: { name: 'a' } }],
    ['DELETE', '/api/v1/namespaces/default', { dryRun: ['All'] }],
    ['DELETE', '/api/v1/namespaces/default/serviceaccounts/default', { propagationPolicy: 'Orphan' }],
    ['GET', '/api/v1/namespaces?labelSelector=a%20in%20(b)', undefined],
  ])('is refused, not ignored: %s %s', async (method, path, body) => {
    const { admin } = await startEmbeddedApi();
    expect(await admin(method, path, { body })).toMatchObject({
      status: 400,
      body: { reason: 'BadRequest' },
    });
  });

  it('is refused, not ignored: impersonation', async () => {
    const { port, adminToken } = await startEmbeddedApi();
    const headers = { authorization: `Bearer ${adminToken}`, 'impersonate-user': 'bob' };
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/namespaces`, { headers });
    expect([answer.status, await answer.json()]).toMatchObject([400, { reason: 'BadRequest' }]);
  });
});
