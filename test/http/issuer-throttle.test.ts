import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { KubernetesApi } from '../../src/sandbox/kubernetes-api/server.ts';
import { createTestKubernetesApi } from '../support/test-kubernetes-api.ts';
import { ask, startIssuer } from '../issue/issuer-world.ts';

const adminToken = 'admin-token';
const alice = 'alice-token';

describe('the token API throttles', () => {
  let kube: KubernetesApi;
  let url: string;

  beforeAll(async () => {
    kube = createTestKubernetesApi({
      users: [
        { token: adminToken, username: 'admin', groups: ['system:masters'] },
        { token: alice, username: 'alice' },
        { token: 'bob-token', username: 'bob' },
      ],
    });
    ({ url } = await kube.start());
  });

  afterAll(async () => {
    await kube.stop();
  });

  it('a user, and says when to come back', async () => {
    const other = await startIssuer({ url }, adminToken, { server: { perUserPerSecond: 3 } });
    const whoami = (token: string) => ask(other, { token, path: '/v1/whoami' });
    const answers = await Promise.all(Array.from({ length: 6 }, () => whoami(alice)));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(3);
    expect(refused[0]?.headers.get('retry-after')).toBe('1');
    expect(refused[0]?.body['error']).toMatchObject({ reason: 'throttled', code: 'rate_limit_exceeded' });
    expect(await whoami('bob-token')).toMatchObject({ status: 200 });
    await other.close();
  });

  it('a source address, before asking who it is', async () => {
    const other = await startIssuer({ url }, adminToken, { server: { perSourcePerSecond: 2 } });
    const before = kube.requestCount('tokenreviews');
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => ask(other, { token: `guess-${index}`, path: '/v1/whoami' })),
    );
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(6);
    expect(kube.requestCount('tokenreviews') - before).toBe(2);
    await other.close();
  });

  it('the client behind a trusted proxy, and not whom anybody names', async () => {
    const from = (address: string) => ({ headers: { 'x-forwarded-for': address }, path: '/health' });
    const trusting = await startIssuer({ url }, adminToken, {
      server: { perSourcePerSecond: 1, trustedProxies: ['127.0.0.0/8'] },
    });
    expect(await ask(trusting, from('192.0.2.1'))).toMatchObject({ status: 200 });
    expect(await ask(trusting, from('192.0.2.2'))).toMatchObject({ status: 200 });
    expect(await ask(trusting, from('192.0.2.2'))).toMatchObject({ status: 429 });
    await trusting.close();
    const wary = await startIssuer({ url }, adminToken, { server: { perSourcePerSecond: 1 } });
    expect(await ask(wary, from('192.0.2.1'))).toMatchObject({ status: 200 });
    expect(await ask(wary, from('192.0.2.2'))).toMatchObject({ status: 429 });
    await wary.close();
  });
});
