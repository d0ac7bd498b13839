import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import {
  ask,
  audience,
  claimsOf,
  createTierNamespace,
  type IssuerWorld,
  startIssuer,
} from './issuer-world.ts';
import { type KubeApiServer, startKubeApiServer } from './kube-apiserver.ts';

const users = [
  { token: 'alice-cluster-token', name: 'alice@example.com', groups: ['tier-premium-users'] },
  { token: 'bob-cluster-token', name: 'bob', groups: [] },
];

describe('minting against a real API server', () => {
  let kube: KubeApiServer;
  let issuer: IssuerWorld;

  beforeAll(async () => {
    kube = await startKubeApiServer({ users });
    for (const tier of ['free', 'premium', 'enterprise']) await createTierNamespace(kube.client(), tier);
    issuer = await startIssuer(kube, kube.adminToken);
  });

  afterAll(async () => {
    await issuer.close();
    await kube.stop();
  });

  test('a cluster token becomes an access token of the tier, good for four hours', async () => {
    const minted = await ask(issuer, { token: 'alice-cluster-token', method: 'POST', path: '/v1/tokens' });
    expect(minted.body).toMatchObject({ expiration: '4h0m0s', tier: 'premium' });
    expect(minted.status).toBe(201);
    const claims = claimsOf(minted.body['token'] ?? '');
    expect(claims).toMatchObject({
      aud: [audience],
      sub: 'system:serviceaccount:maas-default-gateway-tier-premium:alice-example-com-fc2398a7',
    });
  });
});
