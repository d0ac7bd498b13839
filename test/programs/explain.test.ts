import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createTokenObjects, type TokenObjectsStore } from '../../src/kubernetes/token-objects.ts';
import type { KubernetesApi } from '../../src/sandbox/kubernetes-api/server.ts';
import { ownUsers, seedCluster } from '../../src/sandbox/seed.ts';
import { createSecret } from '../../src/secret.ts';
import { arbitraryRequest, expectAgreement } from '../check/explain-agreement.ts';
import { createAuthorizer } from '../check/fuzz-world.ts';
import { createTestKubernetesApi } from '../support/test-kubernetes-api.ts';

const instance = 'gw';
const policyText = `
- {name: free, groups: [system:authenticated], limits: {requests: [{limit: 20, window: 1h}]}}
- {name: tiny, level: 1, groups: [tiny-users], limits: {requests: [{limit: 5, window: 1h}], concurrency: 3}}
- {name: premium, level: 2, groups: [premium-users], limits: unlimited}
`;

let api: KubernetesApi;
let client: KubernetesClient;
let objects: TokenObjectsStore;

beforeAll(async () => {
  api = createTestKubernetesApi({ users: [ownUsers.authorizer, ownUsers.issuer] });
  const tiers = ['free', 'tiny', 'premium'];
  seedCluster(api, instance, tiers);
  const { url } = await api.start();
  client = createKubernetesClient({
    connection: createFixedConnection({
      server: url,
      token: createSecret(ownUsers.authorizer.token),
      namespace: 'tiergate',
    }),
    timeoutMs: 5_000,
  });
  const namespaces = tiers.map((tier) => `${instance}-tier-${tier}`);
  objects = createTokenObjects({ client, namespaces, rememberMs: 1_000 });
  await objects.synced();
});

afterAll(async () => {
  objects.stop();
  client.close();
  await api.stop();
});

interface TokenOrder {
  readonly tier: string;
  readonly name: string;
  readonly audience?: string;
  readonly issuedAtMs?: number;
}

/** A token of the cluster's own making, for somebody's account in a tier namespace. */
function issue({
  tier,
  name,
  audience = `${instance}-sa`,
  issuedAtMs = Date.now(),
}: TokenOrder): Promise<string> {
  const namespace = `${instance}-tier-${tier}`;
  const annotations = { 'tiergate.dev/user': `${name}@example.com` };
  api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace, annotations } });
  return api.issueToken({ namespace, name, audiences: [audience], issuedAtMs, expirationSeconds: 3_600 });
}

it('explains 1,000 generated requests as Check decides them, in front of an API server', async () => {
  const hourMs = 3_600_000;
  const tokens = await Promise.all([
    issue({ tier: 'free', name: 'bob' }),
    issue({ tier: 'tiny', name: 'tim' }),
    issue({ tier: 'premium', name: 'alice' }),
    issue({ tier: 'premium', name: 'elsewhere', audience: 'somebody-else' }),
    issue({ tier: 'premium', name: 'late', issuedAtMs: Date.now() - 2 * hourMs }),
  ]);
  const forged = `${tokens[2]?.slice(0, -8)}AAAAAAAA`;
  const door = {
    from: 'path',
    credentialHeaders: ['authorization'],
    public: ['/maas-api', '/v1/models'],
    identityOnly: ['/me'],
    cors: false,
  } as const;
  const accounts = { ...objects, settled: objects.synced };
  const authorizer = createAuthorizer({ client }, door, { policyText, accounts });
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      arbitraryRequest([...tokens, forged], ['llm/llama', 'llm/qwen-large', 'llm/none']),
      async (request) => {
        const outcome = await expectAgreement(authorizer, request);
        seen.add(outcome.denied ? outcome.reason : `${outcome.kind} ${outcome.tier}`);
      },
    ),
    { numRuns: 1_000, seed: 5, endOnFailure: true },
  );
  for (const kind of [
    'model free',
    'model tiny',
    'model premium',
    'concurrency_exceeded',
    'model_forbidden',
    'requests_exceeded',
    'token_expired',
    'token_rejected',
    'wrong_audience',
  ]) {
    expect(seen).toContain(kind);
  }
});
