import { createSign, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Envoy } from '../real/envoy.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { chat, denial, outcome, send } from './send.ts';

let installation: Installation;
let authorizer: Authorizer;

beforeAll(async () => {
  installation = await startInstallation();
  authorizer = await installation.startAuthorizer();
});

afterAll(() => installation.stop());

/** A JWT of the claims, signed by a key; the API server's own makes it a real token. */
function signJwt(privateKeyPem: string, claims: object, header: object = {}): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${encode({ alg: 'RS256', typ: 'JWT', ...header })}.${encode(claims)}`;
  return `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKeyPem, 'base64url')}`;
}

describe.each([{ failureModeAllow: false }, { failureModeAllow: true }])(
  'through Envoy with failure_mode_allow $failureModeAllow',
  ({ failureModeAllow }) => {
    let envoy: Envoy;
    const person = (name: string) => `${name}-${failureModeAllow}@example.com`;

    beforeAll(async () => {
      envoy = await installation.startGateway(authorizer, { failureModeAllow });
    });

    it('lets a person of the tier through, plain and streamed, and tells what is left', async () => {
      const token = await installation.mint(person('alice'), 'premium');
      const plain = await chat(envoy.port, token);
      expect(plain.status).toBe(200);
      expect(JSON.parse(plain.text)).toMatchObject({ object: 'chat.completion' });
      expect(plain.headers).toMatchObject({
        'ratelimit-policy': '"requests-2m";q=20;w=120',
        'x-ratelimit-limit-requests': '20',
        'x-ratelimit-remaining-requests': '19',
      });
      const streamed = await send(envoy.port, {
        path: '/llm/llama/v1/chat/completions',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'llama', stream: true, messages: [{ role: 'user', content: 'Hi' }] }),
      });
      expect(streamed.status).toBe(200);
      expect(streamed.text.trimEnd().endsWith('data: [DONE]')).toBe(true);
    });

    it('tells the model who asks, and gives it no token', async () => {
      const token = await installation.mint(person('anna'), 'premium');
      installation.modelRequests.length = 0;
      await chat(envoy.port, token);
      const [received] = installation.modelRequests;
      expect(received?.headers).toMatchObject({
        'x-tiergate-user': person('anna'),
        'x-tiergate-tier': 'premium',
        'x-tiergate-model': 'llm/llama',
      });
      expect(received?.headers).not.toHaveProperty('authorization');
      expect(JSON.stringify(received)).not.toContain(token.slice(-20));
    });

    it('refuses whoever can not say who they are', async () => {
      const { kube } = installation;
      const good = await installation.mint(person('eve'), 'free');
      const claims = JSON.parse(Buffer.from(good.split('.')[1] ?? '', 'base64url').toString()) as object;
      const header = JSON.parse(Buffer.from(good.split('.')[0] ?? '', 'base64url').toString()) as object;
      const hourAgo = Math.floor(Date.now() / 1000) - 3600;
      const expired = signJwt(
        kube.serviceAccountSigningKeyPem,
        { ...claims, iat: hourAgo - 600, nbf: hourAgo - 600, exp: hourAgo },
        header,
      );
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const foreignKey = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      const reviewsBefore = installation.reviews('tokenreviews');
      const tries: readonly (readonly [string | undefined, string])[] = [
        [undefined, 'credential_missing'],
        ['garbage', 'credential_malformed'],
        [`${good},${good}`, 'credential_malformed'],
        [expired, 'token_expired'],
        [signJwt(foreignKey, claims, header), 'token_rejected'],
        [signJwt(foreignKey, { ...claims, iss: 'https://elsewhere.example' }), 'token_rejected'],
        [signJwt(kube.serviceAccountSigningKeyPem, { ...claims, aud: ['other'] }, header), 'wrong_audience'],
        [`${good.slice(0, -8)}AAAAAAAA`, 'token_rejected'],
      ];
      for (const [token, reason] of tries) {
        const answer = await chat(envoy.port, token);
        expect(outcome(answer), reason).toEqual(denial(401, reason));
        const challenge = answer.headers['www-authenticate'];
        expect(challenge).toMatch(/^Bearer realm=/);
        expect(challenge?.includes('error="invalid_token"')).toBe(reason !== 'credential_missing');
        expect(answer.headers['content-type']).toContain('application/json');
      }
      // None of them cost the API server a question: screened, or their signature was none of its own.
      expect(installation.reviews('tokenreviews')).toBe(reviewsBefore);
    });

    it('asks the API server about a token that only it can refuse', async () => {
      const token = await installation.mint(person('gone'), 'free');
      const [, payload = ''] = token.split('.');
      const { sub } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { readonly sub: string };
      const [, , namespace, name] = sub.split(':');
      await installation.kube.client().delete(`/api/v1/namespaces/${namespace}/serviceaccounts/${name}`);
      expect(outcome(await chat(envoy.port, token))).toEqual(denial(401, 'token_rejected'));
    });

    it('refuses a model that the tier may not use, and one that is not there, with the same words', async () => {
      const token = await installation.mint(person('bob'), 'free');
      const forbidden = await chat(envoy.port, token, '/llm/qwen-large/v1/chat/completions');
      const absent = await chat(envoy.port, token, '/llm/no-such-model/v1/chat/completions');
      expect(outcome(forbidden)).toEqual(denial(403, 'model_forbidden'));
      expect(absent.text).toBe(forbidden.text);
    });

    it('refuses a person without a tier', async () => {
      const strict = await installation.startAuthorizer({
        policy: '[{name: free, groups: [tier-free-users]}, {name: premium, level: 1, groups: [p]}]',
      });
      const gateway = await installation.startGateway(strict, { failureModeAllow });
      const member = await installation.mint(person('mia'), 'free');
      expect((await chat(gateway.port, member)).status).toBe(200);
      // Enterprise is no tier of this policy, though the cluster has its namespace.
      const outsider = await installation.mint(person('olga'), 'enterprise');
      expect(outcome(await chat(gateway.port, outsider))).toEqual(denial(403, 'no_tier'));
    });

    it('knows no model in a path that names none', async () => {
      const token = await installation.mint(person('carl'), 'free');
      expect(outcome(await chat(envoy.port, token, '/healthz'))).toEqual(denial(404, 'model_unknown'));
    });

    it('denies the request after the last one, and says when to come again', async () => {
      const token = await installation.mint(person('dave'), 'free');
      const statuses: number[] = [];
      for (let count = 0; count < 5; count += 1) statuses.push((await chat(envoy.port, token)).status);
      expect(statuses).toEqual([200, 200, 200, 200, 200]);
      const denied = await chat(envoy.port, token);
      expect(outcome(denied)).toEqual(denial(429, 'requests_exceeded'));
      expect(Number(denied.headers['retry-after'])).toBeGreaterThan(100);
      expect(denied.headers['x-ratelimit-remaining-requests']).toBe('0');
      expect(denied.error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' });
    });

    it('charges a person, not a token', async () => {
      const [first, second] = await Promise.all([
        installation.mint(person('fred'), 'free'),
        installation.mint(person('fred'), 'free'),
      ]);
      for (let count = 0; count < 5; count += 1) await chat(envoy.port, first);
      expect(outcome(await chat(envoy.port, second))).toEqual(denial(429, 'requests_exceeded'));
    });

    it('puts who and why into the access log, of a denial too', async () => {
      const token = await installation.mint(person('gina'), 'premium');
      await chat(envoy.port, token, '/llm/no-such-model/v1/chat/completions');
      await expect
        .poll(() => envoy.accessLog().find(({ user }) => user === person('gina')))
        .toMatchObject({
          tier: 'premium',
          model: 'llm/no-such-model',
          reason: 'model_forbidden',
          status: 403,
        });
    });

    it('lets the paths of the token API pass without a token, but not with forged headers', async () => {
      installation.modelRequests.length = 0;
      const answer = await send(envoy.port, {
        path: '/maas-api/v1/tokens',
        headers: { 'x-tiergate-user': 'root', 'x-maas-username': 'root', authorization: 'Bearer kept' },
      });
      expect(answer.status).not.toBe(401);
      const [received] = installation.modelRequests;
      expect(received?.headers['authorization']).toBe('Bearer kept');
      expect(received?.headers).not.toHaveProperty('x-tiergate-user');
      expect(received?.headers).not.toHaveProperty('x-maas-username');
    });
  },
);
