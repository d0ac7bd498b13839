import { decodeJwt, decodeProtectedHeader } from 'jose';
import { describe, expect, it } from 'vitest';
import { createManualClock } from '../support/manual-clock.ts';
import { at, textAt } from './api-caller.ts';
import { alice, startEmbeddedApi } from './embedded-api.ts';

const order = { namespace: 'default', name: 'alice', audiences: ['ours'], expirationSeconds: 600 };

describe('signing keys', () => {
  it('can be rotated: the old one stays until it is dropped', async () => {
    const { api, admin, review } = await startEmbeddedApi();
    api.apply(alice);
    const kids = async () => {
      const { body } = await admin('GET', '/openid/v1/jwks');
      return (at(body, 'keys') as readonly { readonly kid: string }[]).map(({ kid }) => kid);
    };
    const old = await api.issueToken(order);
    expect(await kids()).toEqual([decodeProtectedHeader(old).kid]);

    api.rotateSigningKey();
    const young = await api.issueToken(order);
    expect(await kids()).toEqual([decodeProtectedHeader(young).kid, decodeProtectedHeader(old).kid]);
    expect(await review(old)).toMatchObject({ authenticated: true });
    expect(await review(young)).toMatchObject({ authenticated: true });

    api.dropOldSigningKeys();
    expect(await kids()).toEqual([decodeProtectedHeader(young).kid]);
    expect(at(await review(old), 'error')).toMatch(/invalid bearer token/);
    expect(await review(young)).toMatchObject({ authenticated: true });
  });

  it('never leave the server', async () => {
    const { admin } = await startEmbeddedApi();
    const { body } = await admin('GET', '/openid/v1/jwks');
    expect(Object.keys(at(body, 'keys', 0) as object).toSorted()).toEqual([
      'alg',
      'e',
      'kid',
      'kty',
      'n',
      'use',
    ]);
  });

  it("are the server's own: another server's token is refused", async () => {
    const [here, there] = [await startEmbeddedApi(), await startEmbeddedApi()];
    here.api.apply(alice);
    there.api.apply(alice);
    expect(at(await here.review(await there.api.issueToken(order)), 'error')).toMatch(/invalid bearer token/);
  });
});

describe('tokens', () => {
  it('can be issued for any time, and a token that is over is refused', async () => {
    const clock = createManualClock(1_800_000_000_000);
    const { api, review } = await startEmbeddedApi({ now: clock.now });
    api.apply(alice);
    const over = await api.issueToken({ ...order, issuedAtMs: clock.now() - 3_600_000 });
    expect(at(await review(over), 'error')).toMatch(/service account token has expired/);
    const early = await api.issueToken({ ...order, issuedAtMs: clock.now() + 3_600_000 });
    expect(at(await review(early), 'error')).toMatch(/service account token is not valid yet/);
    const short = await api.issueToken({ ...order, expirationSeconds: 30 });
    expect(await review(short)).toMatchObject({ authenticated: true });
    clock.advance(91_000);
    expect(at(await review(short), 'error')).toMatch(/has expired/);
  });

  it('are issued for what exists only', async () => {
    const { api } = await startEmbeddedApi();
    await expect(api.issueToken(order)).rejects.toMatchObject({ code: 404 });
    api.apply(alice);
    await expect(api.issueToken({ ...order, secretName: 'none' })).rejects.toMatchObject({ code: 404 });
  });

  it('are shortened without an error where the cluster has a maximum', async () => {
    const { api, admin } = await startEmbeddedApi({ maxTokenExpirationSeconds: 7200 });
    api.apply(alice);
    const body = { spec: { audiences: ['ours'], expirationSeconds: 86_400 } };
    const path = '/api/v1/namespaces/default/serviceaccounts/alice/token';
    const answer = await admin('POST', path, { body });
    expect(answer).toMatchObject({ status: 201, body: { spec: { expirationSeconds: 7200 } } });
    const { exp = 0, iat = 0 } = decodeJwt(textAt(answer.body, 'status', 'token'));
    expect(exp - iat).toBe(7200);
  });

  it('outlive their ServiceAccount by the success cache, as with the real server, unless never seen', async () => {
    const clock = createManualClock(1_800_000_000_000);
    const { api, review } = await startEmbeddedApi({ reviewSuccessCacheMs: 10_000, now: clock.now });
    api.apply(alice);
    const [seen, unseen] = [await api.issueToken(order), await api.issueToken(order)];
    expect(await review(seen)).toMatchObject({ authenticated: true });
    api.remove(alice);
    expect(at(await review(unseen), 'error')).toMatch(/not found/);
    clock.advance(9_999);
    expect(await review(seen)).toMatchObject({ authenticated: true });
    clock.advance(1);
    expect(at(await review(seen), 'error')).toMatch(/not found/);
  });

  it('have the issuer and the audiences that the server was given', async () => {
    const { api, admin } = await startEmbeddedApi({
      issuer: 'https://issuer.example.org',
      apiAudiences: ['api'],
    });
    api.apply(alice);
    const answer = await admin('POST', '/api/v1/namespaces/default/serviceaccounts/alice/token', {
      body: {},
    });
    const claims = decodeJwt(textAt(answer.body, 'status', 'token'));
    expect(claims).toMatchObject({ iss: 'https://issuer.example.org', aud: ['api'] });
    const discovery = await admin('GET', '/.well-known/openid-configuration');
    expect(discovery.body).toMatchObject({ issuer: 'https://issuer.example.org' });
  });
});
