import { describe, expect, it } from 'vitest';
import { startEmbeddedApi } from './embedded-api.ts';

const secrets = '/api/v1/namespaces/default/secrets';
const tokenReviews = '/apis/authentication.k8s.io/v1/tokenreviews';

describe('faults', () => {
  it('answer with a Status of that code, and do nothing', async () => {
    const { api, admin } = await startEmbeddedApi();
    api.fail({ resource: 'secrets', mode: 'status', code: 429, retryAfterSeconds: 3 });
    expect(await admin('POST', secrets, { body: { metadata: { name: 'a' } } })).toMatchObject({
      status: 429,
      body: { kind: 'Status', reason: 'TooManyRequests', code: 429, details: { retryAfterSeconds: 3 } },
    });
    expect(api.find({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } })).toBeUndefined();
  });

  it('say Retry-After in the header too', async () => {
    const { api, port, adminToken } = await startEmbeddedApi();
    api.fail({ resource: '*', mode: 'status', code: 503, retryAfterSeconds: 7 });
    const answer = await fetch(`http://127.0.0.1:${port}${secrets}`, {
      headers: { authorization: `Bearer ${adminToken}` },
    });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '7']);
    await answer.body?.cancel();
  });

  it('concern their resource and verb only, and only as often as told', async () => {
    const { api, admin } = await startEmbeddedApi();
    api.fail({ resource: 'secrets', verb: 'list', times: 2, mode: 'status', code: 500 });
    expect(await admin('GET', '/api/v1/namespaces')).toMatchObject({ status: 200 });
    expect(await admin('GET', `${secrets}/none`)).toMatchObject({ status: 404 });
    const statuses: number[] = [];
    for (let round = 0; round < 3; round += 1) statuses.push((await admin('GET', secrets)).status);
    expect(statuses).toEqual([500, 500, 200]);
  });

  it('end when they are lifted, and the newest counts', async () => {
    const { api, admin } = await startEmbeddedApi();
    const liftOld = api.fail({ resource: '/openid/v1/jwks', mode: 'status', code: 500 });
    const liftNew = api.fail({ resource: '*', mode: 'status', code: 503 });
    const status = async () => (await admin('GET', '/openid/v1/jwks')).status;
    expect(await status()).toBe(503);
    liftNew();
    expect(await status()).toBe(500);
    liftOld();
    expect(await status()).toBe(200);
  });

  it('answer with what is no JSON', async () => {
    const { api, admin } = await startEmbeddedApi();
    api.fail({ resource: 'tokenreviews', mode: 'garbage' });
    const answer = await admin('POST', tokenReviews, { body: { spec: { token: 'x' } } });
    expect(answer).toMatchObject({ status: 200, contentType: 'application/json' });
    expect(answer.body).toMatch(/^</);
  });

  it('break the answer off half-way', async () => {
    const { api, admin, caller, adminToken } = await startEmbeddedApi();
    api.fail({ resource: 'namespaces', mode: 'half-body' });
    await expect(admin('GET', '/api/v1/namespaces')).rejects.toThrow(/aborted|terminated|ECONNRESET/);
    const stream = await caller.watch('/api/v1/namespaces?watch=1', { token: adminToken });
    await expect(stream.next(1)).rejects.toThrow();
  });

  it('cut the connection without an answer', async () => {
    const { api, admin } = await startEmbeddedApi();
    api.fail({ resource: 'namespaces', mode: 'cut' });
    await expect(admin('GET', '/api/v1/namespaces')).rejects.toThrow(/socket hang up|ECONNRESET/);
  });

  it('keep a client waiting', async () => {
    const { api, admin } = await startEmbeddedApi();
    api.fail({ resource: 'namespaces', times: 1, mode: 'slow', delayMs: 60 });
    const startedAt = performance.now();
    expect(await admin('GET', '/api/v1/namespaces')).toMatchObject({ status: 200 });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(55);
  });

  it('never answer, until the server stops', async () => {
    const { api, admin } = await startEmbeddedApi();
    api.fail({ resource: 'namespaces', mode: 'hang' });
    const asked = admin('GET', '/api/v1/namespaces');
    const waited = new Promise((resolve) => setTimeout(resolve, 50, 'still waiting'));
    expect(await Promise.race([asked, waited])).toBe('still waiting');
    const failed = expect(asked).rejects.toThrow(/socket hang up|ECONNRESET/);
    await api.stop();
    await failed;
  });
});

describe('counting', () => {
  it('knows every request by what it is about, failed ones too', async () => {
    const { api, admin, caller } = await startEmbeddedApi();
    api.fail({ resource: 'tokenreviews', times: 1, mode: 'status', code: 500 });
    for (let round = 0; round < 3; round += 1)
      await admin('POST', tokenReviews, { body: { spec: { token: 'x' } } });
    await admin('GET', secrets);
    await admin('GET', `${secrets}/none`);
    await admin('POST', '/api/v1/namespaces/default/serviceaccounts/default/token', { body: {} });
    await caller.call('GET', '/openid/v1/jwks');
    expect(api.requestCount('tokenreviews')).toBe(3);
    expect(api.requestCount('subjectaccessreviews')).toBe(0);
    expect(api.requestCount('secrets')).toBe(2);
    expect(api.requestCount('secrets', 'list')).toBe(1);
    expect(api.requestCount('serviceaccounts/token')).toBe(1);
    expect(api.requestCount('serviceaccounts')).toBe(0);
    expect(api.requestCount('/openid/v1/jwks')).toBe(1);
    expect(api.requestCount('*')).toBe(7);
    expect(api.requestCount('*', 'create')).toBe(4);
  });
});
