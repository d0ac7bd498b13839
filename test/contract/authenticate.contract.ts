import { generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { isDenied } from '../../src/check/outcome.ts';
import { warnAboutAudience } from '../../src/kubernetes/audience-warning.ts';
import { createSignatureVerifier } from '../../src/kubernetes/jwks.ts';
import { createAuthenticate, createReviewToken } from '../../src/kubernetes/token-review.ts';
import { createSecret } from '../../src/secret.ts';
import {
  audience,
  type AuthorizerWorld,
  clusterAudience,
  createAuthorizerWorld,
  opaqueUser,
  type StartCluster,
} from './authorizer-world.ts';

/** The port Authenticate and the port VerifySignature, in front of an API server that has `opaqueUser`. */
export function describeAuthenticate(name: string, start: StartCluster): void {
  describe(`identity by ${name}`, () => {
    let world: AuthorizerWorld;
    let namespace: string;

    beforeAll(async () => {
      world = await createAuthorizerWorld(await start());
      namespace = await world.makeTierNamespace();
    });
    afterAll(() => world.stop());

    const authenticate = (token: string) =>
      createAuthenticate({ client: world.client, audience })(createSecret(token));

    const rejected = { denied: true, reason: 'token_rejected' };
    /** Past the API server's own memory of a yes. */
    const soon = () => ({ timeout: world.cluster.reviewSuccessCacheMs + 5_000, interval: 50 });

    it('names the account, its uid and its groups', async () => {
      const account = await world.makeAccount(namespace);
      const token = await world.mint(account);
      expect(token.length).toBeGreaterThan(800);
      const user = await authenticate(token);
      expect(user).toMatchObject({
        username: `system:serviceaccount:${namespace}:${account.name}`,
        uid: account.uid,
        groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      });
      expect(isDenied(user) ? {} : user.extra).toMatchObject({
        'authentication.kubernetes.io/credential-id': [expect.stringMatching(/^JTI=/) as string],
      });
    });

    it('costs one TokenReview', async () => {
      const token = await world.mint(await world.makeAccount(namespace));
      const before = world.cluster.countReviews('tokenreviews');
      await authenticate(token);
      expect(world.cluster.countReviews('tokenreviews')).toBe(before + 1);
    });

    it('rejects a token for another audience, and what is no token of the cluster', async () => {
      const account = await world.makeAccount(namespace);
      const [header, payload] = (await world.mint(account)).split('.');
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const forged = sign('sha256', Buffer.from(`${header}.${payload}`), privateKey).toString('base64url');
      expect(await authenticate(await world.mint(account, { audiences: [clusterAudience] }))).toMatchObject(
        rejected,
      );
      expect(await authenticate(await world.mint(account, { audiences: ['another'] }))).toMatchObject(
        rejected,
      );
      expect(await authenticate(`${header}.${payload}.${forged}`)).toMatchObject(rejected);
      expect(await authenticate('garbage')).toMatchObject(rejected);
    });

    it('rejects an opaque token of the cluster, which was not made for us', async () => {
      expect(await authenticate(opaqueUser.token)).toMatchObject(rejected);
      const reviewToken = createReviewToken({ client: world.client });
      const reviewed = await reviewToken(createSecret(opaqueUser.token), [clusterAudience, audience]);
      expect(reviewed).toMatchObject({ user: { username: 'alice' }, audiences: [clusterAudience] });
    });

    it('tells which of several audiences a token has', async () => {
      const account = await world.makeAccount(namespace);
      const both = await world.mint(account, { audiences: [audience, clusterAudience] });
      expect(await authenticate(both)).toMatchObject({ uid: account.uid });
      const reviewToken = createReviewToken({ client: world.client });
      const audiencesOf = async (token: string) =>
        (await reviewToken(createSecret(token), [clusterAudience, audience]))?.audiences;
      expect(new Set(await audiencesOf(both))).toEqual(new Set([audience, clusterAudience]));
      expect(await audiencesOf(await world.mint(account))).toEqual([audience]);
    });

    it('rejects a token at once when its account was deleted before it was ever seen', async () => {
      const account = await world.makeAccount(namespace);
      // The API server's own watch brings the deletion within milliseconds, on a busy machine later; and what it has
      // once called good it goes on to for seconds. So each look is at another one.
      const tokens = await Promise.all(Array.from({ length: 20 }, () => world.mint(account)));
      await world.deleteAccount(account);
      const unseen = (): string => {
        const token = tokens.pop();
        if (token === undefined) throw new Error('all of them have been seen');
        return token;
      };
      await expect.poll(() => authenticate(unseen()), { interval: 20 }).toMatchObject(rejected);
      expect(await authenticate(unseen())).toMatchObject(rejected);
    });

    // These two wait for the API server to forget: together.
    it.concurrent('rejects tokens of a deleted account, also when one of its name is made again', async () => {
      const account = await world.makeAccount(namespace);
      const token = await world.mint(account);
      expect(await authenticate(token)).toMatchObject({ uid: account.uid });
      await world.deleteAccount(account);
      const again = await world.makeAccount(namespace, { name: account.name });
      expect(await authenticate(await world.mint(again))).toMatchObject({ uid: again.uid });
      expect(again.uid).not.toBe(account.uid);
      await vi.waitFor(async () => expect(await authenticate(token)).toMatchObject(rejected), soon());
    });

    it.concurrent('rejects a token whose Secret was deleted, and no other of its account', async () => {
      const account = await world.makeAccount(namespace);
      const secrets = `/api/v1/namespaces/${namespace}/secrets`;
      await world.admin('POST', secrets, { metadata: { name: 'tgt-one' } });
      const bound = await world.mint(account, { secret: 'tgt-one' });
      expect(await authenticate(bound)).toMatchObject({ uid: account.uid });
      await world.admin('DELETE', `${secrets}/tgt-one`);
      await vi.waitFor(async () => expect(await authenticate(bound)).toMatchObject(rejected), soon());
      expect(await authenticate(await world.mint(account))).toMatchObject({ uid: account.uid });
    });

    it('knows the signature of its own tokens, and their issuer', async () => {
      const verifier = createSignatureVerifier({ client: world.client });
      const token = await world.mint(await world.makeAccount(namespace));
      expect(await verifier.verify(createSecret(token))).toBe('valid');
      const [header = '', payload = '', signature = ''] = token.split('.');
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { readonly iss: string };
      expect(verifier.issuers()).toEqual([claims.iss]);
      const other = Buffer.from(JSON.stringify({ ...claims, sub: 'x' })).toString('base64url');
      expect(await verifier.verify(createSecret(`${header}.${other}.${signature}`))).toBe('invalid');
      expect(verifier.fault()).toBeUndefined();
    });

    it('is warned of nothing while our audience is ours alone', async () => {
      expect(await warnAboutAudience({ client: world.client, audience })).toBeUndefined();
    });
  });

  it(`${name} that takes our audience for its own is warned of`, async () => {
    const world = await createAuthorizerWorld(await start({ apiAudiences: [clusterAudience, audience] }));
    try {
      expect(await warnAboutAudience({ client: world.client, audience })).toContain(audience);
      expect(await warnAboutAudience({ client: world.client, audience: 'another' })).toBeUndefined();
    } finally {
      await world.stop();
    }
  });
}
