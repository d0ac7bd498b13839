import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { describe, expect, it } from 'vitest';
import { type ApiAnswer, at, textAt } from '../sandbox/api-caller.ts';
import {
  accessAudience,
  clusterAudience,
  contractUsers,
  refusal,
  type World,
} from './kubernetes-api-world.ts';

/** TokenRequest, TokenReview, and the tokens between them. */
export function describeTokens(world: () => World): void {
  const request = (path: string, spec: object, more: object = {}): Promise<ApiAnswer> =>
    world().admin('POST', `${path}/token`, { body: { spec, ...more } });

  async function mint(path: string, spec: object = {}): Promise<string> {
    const answer = await request(path, { audiences: [accessAudience], expirationSeconds: 600, ...spec });
    expect(answer).toMatchObject({ status: 201 });
    return textAt(answer.body, 'status', 'token');
  }

  async function review(token: string, audiences?: readonly string[]): Promise<unknown> {
    const body = { spec: { token, ...(audiences === undefined ? {} : { audiences }) } };
    const answer = await world().admin('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { body });
    expect(answer).toMatchObject({ status: 201, body: { kind: 'TokenReview' } });
    return at(answer.body, 'status');
  }

  async function makeAccount(): Promise<{
    readonly namespace: string;
    readonly namespacePath: string;
    readonly path: string;
    readonly uid: string;
  }> {
    const { name: namespace, path: namespacePath } = await world().makeNamespace();
    const made = await world().make(`${namespacePath}/serviceaccounts`, { metadata: { name: 'alice' } });
    const path = `${namespacePath}/serviceaccounts/alice`;
    return { namespace, namespacePath, path, uid: textAt(made, 'metadata', 'uid') };
  }

  /** A token that is not good: the review itself succeeds. */
  function expectRefused(status: unknown, error: RegExp = /invalid bearer token/): void {
    expect(at(status, 'authenticated')).toBeUndefined();
    expect(at(status, 'user')).toEqual({});
    expect(at(status, 'error')).toMatch(error);
  }

  /**
   * A real server looks at what its own watch has told it, some milliseconds late on a busy machine, and repeats a yes
   * for ten seconds: each look has a token of its own.
   */
  async function expectRefusedSoon(tokens: readonly string[], error: RegExp): Promise<void> {
    for (const token of tokens.slice(0, -1)) {
      const status = await review(token, [accessAudience]);
      if (at(status, 'authenticated') === undefined) {
        expectRefused(status, error);
        return;
      }
      await sleep(200);
    }
    expectRefused(await review(tokens.at(-1) ?? '', [accessAudience]), error);
  }

  describe('TokenRequest', () => {
    it('signs a token that says whose it is, for whom and how long', async () => {
      const { namespace, path, uid } = await makeAccount();
      const { status, body } = await request(path, {
        audiences: [accessAudience, 'other'],
        expirationSeconds: 600,
      });
      expect(status).toBe(201);
      expect(body).toMatchObject({
        kind: 'TokenRequest',
        apiVersion: 'authentication.k8s.io/v1',
        metadata: { name: 'alice', namespace },
        spec: { audiences: [accessAudience, 'other'], expirationSeconds: 600 },
      });
      const token = textAt(body, 'status', 'token');
      const claims = decodeJwt(token);
      expect(decodeProtectedHeader(token)).toEqual({ alg: 'RS256', kid: expect.any(String) });
      expect(claims).toMatchObject({
        sub: `system:serviceaccount:${namespace}:alice`,
        aud: [accessAudience, 'other'],
        iss: expect.stringMatching(/^https:/),
        jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
        'kubernetes.io': { namespace, serviceaccount: { name: 'alice', uid } },
      });
      expect(claims.nbf).toBe(claims.iat);
      expect(claims.exp).toBe(Number(claims.iat) + 600);
      expect(Date.parse(textAt(body, 'status', 'expirationTimestamp'))).toBe(Number(claims.exp) * 1000);
      expect(Object.keys(at(claims, 'kubernetes.io') as object)).not.toContain('secret');
    });

    it('signs for an hour and for the cluster when nothing is said', async () => {
      const { path } = await makeAccount();
      expect((await request(path, {})).body).toMatchObject({
        spec: { audiences: [clusterAudience], expirationSeconds: 3600 },
      });
    });

    it('binds a token to a Secret', async () => {
      const { namespacePath, path, uid } = await makeAccount();
      const secret = await world().make(`${namespacePath}/secrets`, { metadata: { name: 'tgt-1' } });
      const token = await mint(path, { boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: 'tgt-1' } });
      expect(decodeJwt(token)['kubernetes.io']).toMatchObject({
        serviceaccount: { name: 'alice', uid },
        secret: { name: 'tgt-1', uid: at(secret, 'metadata', 'uid') },
      });
    });

    it.each([
      [599, 422],
      [600, 201],
      [2 ** 32, 201],
      [2 ** 32 + 1, 422],
    ])('asked for %i seconds answers %i', async (expirationSeconds, status) => {
      const { path } = await makeAccount();
      const answer = await request(path, { audiences: [accessAudience], expirationSeconds });
      expect(answer.status).toBe(status);
      if (status === 422)
        expect(answer).toMatchObject(
          refusal(422, 'Invalid', { details: { causes: [{ field: 'spec.expirationSeconds' }] } }),
        );
    });

    it('refuses what does not fit', async () => {
      const { namespacePath, path } = await makeAccount();
      await world().make(`${namespacePath}/secrets`, { metadata: { name: 'here' } });
      const bound = (ref: object) =>
        request(path, { boundObjectRef: { apiVersion: 'v1', kind: 'Secret', ...ref } });
      expect(await request(`${namespacePath}/serviceaccounts/none`, {})).toMatchObject(
        refusal(404, 'NotFound', { details: { name: 'none', kind: 'serviceaccounts' } }),
      );
      expect(await bound({ name: 'absent' })).toMatchObject(
        refusal(404, 'NotFound', { details: { name: 'absent', kind: 'secrets' } }),
      );
      expect(await bound({ name: 'here', uid: 'another' })).toMatchObject(refusal(409, 'Conflict'));
      expect(await bound({ name: 'here', kind: 'ConfigMap' })).toMatchObject(refusal(400, 'BadRequest'));
      expect(await request(path, { audiences: 'no list' })).toMatchObject(refusal(400, 'BadRequest'));
      expect(await request(path, {}, { metadata: { name: 'bob' } })).toMatchObject(refusal(422, 'Invalid'));
      expect(await world().admin('GET', `${path}/token`)).toMatchObject(refusal(405, 'MethodNotAllowed'));
    });
  });

  describe('TokenReview', () => {
    it('says who a ServiceAccount token is, with its groups and its id', async () => {
      const { namespace, path, uid } = await makeAccount();
      const token = await mint(path);
      expect(await review(token, [accessAudience])).toEqual({
        authenticated: true,
        user: {
          username: `system:serviceaccount:${namespace}:alice`,
          uid,
          groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
          extra: { 'authentication.kubernetes.io/credential-id': [`JTI=${decodeJwt(token).jti}`] },
        },
        audiences: [accessAudience],
      });
    });

    it('echoes those of the audiences that the token has, in the order they were asked', async () => {
      const { path } = await makeAccount();
      const token = await mint(path, { audiences: ['a', 'b', 'c'] });
      expect(at(await review(token, ['c', 'x', 'a']), 'audiences')).toEqual(['c', 'a']);
      const access = await mint(path);
      expect(at(await review(access, [clusterAudience, accessAudience]), 'audiences')).toEqual([
        accessAudience,
      ]);
    });

    it('takes no audiences to mean its own', async () => {
      const { path } = await makeAccount();
      expectRefused(await review(await mint(path)), /audiences/);
      const cluster = await review(await mint(path, { audiences: [clusterAudience] }));
      expect(cluster).toMatchObject({ authenticated: true, audiences: [clusterAudience] });
    });

    it('knows its users, for its own audiences only', async () => {
      const { token, groups } = contractUsers.alice;
      const status = await review(token, [accessAudience, clusterAudience]);
      expect(status).toMatchObject({
        authenticated: true,
        user: { username: 'alice', groups: [...groups, 'system:authenticated'] },
        audiences: [clusterAudience],
      });
      expect(at(status, 'user', 'extra')).toBeUndefined();
      expectRefused(await review(token, [accessAudience]), /^invalid bearer token$/);
    });

    it('refuses what is no token of this cluster', async () => {
      const { path } = await makeAccount();
      const token = await mint(path);
      const [header, payload, signature = ''] = token.split('.');
      const tampered = signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
      expectRefused(await review('garbage', [accessAudience]), /^invalid bearer token$/);
      expectRefused(await review(`${header}.${payload}.${tampered}`, [accessAudience]));
      expectRefused(await review(`${header}.${payload}.`, [accessAudience]));
      const claims = { ...decodeJwt(token), iss: 'https://elsewhere.example.org' };
      const foreign = Buffer.from(JSON.stringify(claims)).toString('base64url');
      expectRefused(
        await review(`${header}.${foreign}.${signature}`, [accessAudience]),
        /^invalid bearer token$/,
      );
    });

    it('accepts a token for a minute past its end, and no longer', async () => {
      const { namespace, uid } = await makeAccount();
      const ended = (endsInSeconds: number) =>
        world().api.sign({ namespace, name: 'alice', uid, endsInSeconds });
      expect(await review(await ended(-45), [accessAudience])).toMatchObject({ authenticated: true });
      expectRefused(await review(await ended(-75), [accessAudience]), /service account token has expired/);
    });

    it('refuses the tokens of a ServiceAccount that is gone, made again or not', async () => {
      const { admin, make } = world();
      const { namespacePath, path } = await makeAccount();
      const tokens = [];
      for (let count = 0; count < 6; count += 1) tokens.push(await mint(path));
      await admin('DELETE', path);
      await expectRefusedSoon(tokens.slice(0, 3), /"alice" not found/);
      await make(`${namespacePath}/serviceaccounts`, { metadata: { name: 'alice' } });
      await expectRefusedSoon(tokens.slice(3), /does not match claim/);
    });

    it('refuses the tokens of a Secret that is gone, made again or not', async () => {
      const { admin, make } = world();
      const { namespacePath, path } = await makeAccount();
      await make(`${namespacePath}/secrets`, { metadata: { name: 'tgt-1' } });
      const boundObjectRef = { apiVersion: 'v1', kind: 'Secret', name: 'tgt-1' };
      const tokens = [];
      for (let count = 0; count < 6; count += 1) tokens.push(await mint(path, { boundObjectRef }));
      const free = await mint(path);
      await admin('DELETE', `${namespacePath}/secrets/tgt-1`);
      await expectRefusedSoon(tokens.slice(0, 3), /has been invalidated/);
      await make(`${namespacePath}/secrets`, { metadata: { name: 'tgt-1' } });
      await expectRefusedSoon(tokens.slice(3), /does not match/);
      expect(await review(free, [accessAudience])).toMatchObject({ authenticated: true });
    });

    it('answers 400 when it is not asked properly', async () => {
      const post = (body: unknown) =>
        world().admin('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { body });
      expect(await post({ spec: {} })).toMatchObject(refusal(400, 'BadRequest'));
      expect(await post({ spec: { token: 5 } })).toMatchObject(refusal(400, 'BadRequest'));
      expect(
        await post({ kind: 'SubjectAccessReview', apiVersion: 'authorization.k8s.io/v1' }),
      ).toMatchObject(refusal(400, 'BadRequest'));
    });
  });

  describe('a token as a caller', () => {
    it('opens the API by the cluster audience alone', async () => {
      const { anyone } = world();
      const { path } = await makeAccount();
      const cluster = await mint(path, { audiences: [clusterAudience] });
      expect(await anyone.call('GET', '/version', { token: cluster })).toMatchObject({ status: 200 });
      expect(await anyone.call('GET', '/api/v1/namespaces', { token: cluster })).toMatchObject({
        status: 403,
      });
      const access = await mint(path);
      expect(await anyone.call('GET', '/version', { token: access })).toMatchObject({ status: 401 });
    });

    it('may read the keys that tokens are signed with', async () => {
      const { anyone } = world();
      const { path } = await makeAccount();
      const token = await mint(path, { audiences: [clusterAudience] });
      const jwks = await anyone.call('GET', '/openid/v1/jwks', { token });
      expect(jwks).toMatchObject({ status: 200, contentType: 'application/jwk-set+json' });
      const { kid } = decodeProtectedHeader(token);
      expect(at(jwks.body, 'keys', 0)).toMatchObject({ kty: 'RSA', use: 'sig', alg: 'RS256', kid });
      const discovery = await anyone.call('GET', '/.well-known/openid-configuration', { token });
      expect(discovery.body).toMatchObject({
        issuer: decodeJwt(token).iss,
        jwks_uri: expect.stringMatching(/\/openid\/v1\/jwks$/),
        id_token_signing_alg_values_supported: ['RS256'],
      });
    });
  });
}
