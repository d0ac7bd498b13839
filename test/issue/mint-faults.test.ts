import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { KubernetesApi } from '../../src/sandbox/kubernetes-api/server.ts';
import { createTestKubernetesApi } from '../support/test-kubernetes-api.ts';
import { createApiCaller } from '../sandbox/api-caller.ts';
import {
  ask,
  createTierNamespace,
  instance,
  type IssuerWorld,
  type Json,
  startIssuer,
} from './issuer-world.ts';

const adminToken = 'admin-token';

/** Every call that a first mint makes, as the API server names it. */
const calls = [
  ['tokenreviews', 'create'],
  ['namespaces', 'list'],
  ['serviceaccounts', 'get'],
  ['serviceaccounts', 'create'],
  ['secrets', 'list'],
  ['secrets', 'create'],
  ['serviceaccounts/token', 'create'],
  ['secrets', 'patch'],
] as const;

const modes = [
  { mode: 'status', code: 500 },
  { mode: 'status', code: 429, retryAfterSeconds: 7 },
  { mode: 'garbage' },
  { mode: 'half-body' },
  { mode: 'cut' },
] as const;

const faults = calls.flatMap(([resource, verb], row) =>
  modes.map((mode, column) => {
    const words = Object.values(mode).join(' ');
    return { resource, verb, mode, words, user: `user-${row}-${column}` };
  }),
);

const users = faults.map(({ user }) => ({ token: `${user}-token`, username: user }));

describe('a mint whose API server fails once', () => {
  let kube: KubernetesApi;
  let issuer: IssuerWorld;
  let nowMs = Date.now();
  let url: string;

  beforeAll(async () => {
    kube = createTestKubernetesApi({
      users: [{ token: adminToken, username: 'admin', groups: ['system:masters'] }, ...users],
    });
    ({ url } = await kube.start());
    await createTierNamespace({ url, adminToken }, 'free');
    issuer = await startIssuer({ url }, adminToken, { api: { now: () => nowMs } });
  });

  afterAll(async () => {
    await issuer.close();
    await kube.stop();
  });

  it.each(faults)(
    '$verb $resource, $words: 503 or a whole token, and the next leaves nothing half-made',
    async ({ resource, verb, mode, user }) => {
      nowMs = Date.now();
      const token = `${user}-token`;
      const mint = () => ask(issuer, { token, method: 'POST', path: '/v1/tokens' });
      const lift = kube.fail({ resource, verb, times: 1, ...mode });
      const first = await mint();
      lift();
      expect([201, 503]).toContain(first.status);
      if (first.status === 503) {
        expect(first.body['error']?.['reason']).toBe('identity_unavailable');
        expect(first.headers.get('retry-after')).toMatch(/^\d+$/);
      }
      nowMs += 11_000;
      const second = await mint();
      expect(second.status).toBe(201);
      const { body } = await ask(issuer, { token, path: '/v1/tokens' });
      expect(body['data']).toHaveLength(first.status === 201 ? 2 : 1);
      const kept = await recordsOf(user);
      expect(kept).toHaveLength(first.status === 201 ? 2 : 1);
    },
  );

  async function recordsOf(name: string): Promise<readonly unknown[]> {
    const path = `/api/v1/namespaces/${instance}-tier-free/secrets`;
    const { body } = await createApiCaller({ url }).call('GET', path, { token: adminToken });
    const { items } = body as { readonly items: readonly Json[] };
    return items.filter(({ metadata }) => Object.is(metadata?.['annotations']?.['tiergate.dev/user'], name));
  }
});
