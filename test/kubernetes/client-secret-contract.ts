import { expect, test } from 'vitest';
import type { KubernetesClient } from '../../src/kubernetes/client.ts';
import { createNamedSecrets, createSecretStore } from '../../src/kubernetes/client-secret.ts';
import { createReadInventory } from '../../src/kubernetes/desired-clients.ts';
import { formatDocument, parseDocument } from '../../src/register/document-store.ts';
import { describeDocumentStore } from '../register/document-store-contract.ts';

/** A Kubernetes API under test; the namespace is there and empty. */
export interface KubernetesUnderTest {
  readonly client: KubernetesClient;
  readonly namespace: string;
}

const signal = new AbortController().signal;
const encode = (text: string): string => Buffer.from(text).toString('base64');

/** Secrets as the registrar's store, said once and run against the embedded API and a real one. */
export function describeSecretStore(name: string, underTest: () => KubernetesUnderTest): void {
  describeDocumentStore(`${name}, Secrets`, async (folder) =>
    createSecretStore({ ...underTest(), part: folder.replaceAll('/', '.') }),
  );

  const secretsPath = (): string => `/api/v1/namespaces/${underTest().namespace}/secrets`;

  test(`${name}: a record's texts are keys of their own, for whoever mounts the Secret`, async () => {
    const { client } = underTest();
    const store = createSecretStore({ ...underTest(), part: 'flat' });
    const record = {
      client_id: 'Id',
      client_secret: 's3cret',
      redirect_uris: ['https://a'],
      'not a key': 'x',
    };
    await store.write('Id', formatDocument(record), undefined, signal);
    const list = await client.request({
      method: 'GET',
      path: `${secretsPath()}?labelSelector=tiergate.dev/sso=flat`,
    });
    const { items } = list.body as { readonly items: readonly { readonly data: unknown }[] };
    expect(items[0]?.data).toEqual({
      'record.json': encode(JSON.stringify(record)),
      client_id: encode('Id'),
      client_secret: encode('s3cret'),
    });
  });

  test(`${name}: a named Secret is a document, and keeps what others gave it`, async () => {
    const { client, namespace } = underTest();
    const body = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'iat', labels: { owner: 'somebody' } },
      data: {
        url: encode('https://sso'),
        current_iat: encode('{"id":"1","token":"t"}'),
        note: encode('{broken'),
      },
    };
    await client.request({ method: 'POST', path: secretsPath(), body });
    const secrets = createNamedSecrets(client, namespace);
    const found = await secrets.read('iat', signal);
    expect(found && parseDocument(found.content)).toEqual({
      url: 'https://sso',
      current_iat: { id: '1', token: 't' },
      note: '{broken',
    });
    const next = formatDocument({
      url: 'https://sso',
      current_iat: { id: '2', token: 'u' },
      note: '{broken',
    });
    expect(await secrets.write('iat', next, found?.version, signal)).toBeDefined();
    expect(await secrets.write('iat', next, found?.version, signal)).toBeUndefined();
    expect(await secrets.write('iat', next, undefined, signal)).toBeUndefined();
    const after = await client.request({ method: 'GET', path: `${secretsPath()}/iat` });
    expect(after.body).toMatchObject({
      metadata: { labels: { owner: 'somebody' } },
      data: { current_iat: encode('{"id":"2","token":"u"}') },
    });
    expect(await secrets.read('nobody', signal)).toBeUndefined();
  });

  test(`${name}: an inventory is read as it is, and an absent one is no empty one`, async () => {
    const { client, namespace } = underTest();
    const inventory = createReadInventory({ client, namespace, name: 'sso-clusters', key: 'clusters.yaml' });
    await expect(inventory(signal)).rejects.toMatchObject({ code: 'misconfigured' });
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const body = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'sso-clusters' },
      data: { other: '' },
    };
    await client.request({ method: 'POST', path, body });
    await expect(inventory(signal)).rejects.toMatchObject({ code: 'misconfigured' });
    await client.request({
      method: 'PUT',
      path: `${path}/sso-clusters`,
      body: { ...body, data: { 'clusters.yaml': 'clusters: []\n' } },
    });
    expect(await inventory(signal)).toBe('clusters: []\n');
  });
}
