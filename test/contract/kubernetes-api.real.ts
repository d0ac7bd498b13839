import { createPrivateKey, randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { expect, vi } from 'vitest';
import { startKubeApiServer } from '../real/kube-apiserver.ts';
import { accessAudience, contractUsers, eventually, type SignedClaims } from './kubernetes-api-world.ts';
import { describeKubernetesApi } from './kubernetes-api.contract.ts';

const llmInferenceServices = {
  metadata: { name: 'llminferenceservices.serving.kserve.io' },
  spec: {
    group: 'serving.kserve.io',
    scope: 'Namespaced',
    names: { plural: 'llminferenceservices', singular: 'llminferenceservice', kind: 'LLMInferenceService' },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};

describeKubernetesApi('a real kube-apiserver', async () => {
  const { alice, bob } = contractUsers;
  const server = await startKubeApiServer({
    users: [alice, bob].map(({ token, username, groups }) => ({ token, name: username, groups })),
    controllerManager: true,
  });
  const client = server.client();
  const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  expect(await client.post(definitions, llmInferenceServices)).toMatchObject({ status: 201 });
  const list = '/apis/serving.kserve.io/v1alpha1/llminferenceservices';
  const isServed = async () => expect(await client.get(list)).toMatchObject({ status: 200 });
  await vi.waitFor(isServed, eventually);

  const key = createPrivateKey(server.serviceAccountSigningKeyPem);
  const sign = ({ namespace, name, uid, endsInSeconds }: SignedClaims): Promise<string> => {
    const endsAt = Math.floor(Date.now() / 1000) + endsInSeconds;
    return new SignJWT({ 'kubernetes.io': { namespace, serviceaccount: { name, uid } } })
      .setProtectedHeader({ alg: 'RS256' })
      .setIssuer(server.issuer)
      .setSubject(`system:serviceaccount:${namespace}:${name}`)
      .setAudience([accessAudience])
      .setJti(randomUUID())
      .setIssuedAt(endsAt - 600)
      .setNotBefore(endsAt - 600)
      .setExpirationTime(endsAt)
      .sign(key);
  };
  return { url: server.url, caPem: server.caPem, adminToken: server.adminToken, sign, stop: server.stop };
});
