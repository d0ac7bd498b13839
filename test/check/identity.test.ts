import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  createIdentify,
  createTokenKey,
  principalLifetime,
  type VerifySignature,
} from '../../src/check/identity.ts';
import { denied, isDenied } from '../../src/check/outcome.ts';
import type { Principal, ReviewedUser } from '../../src/check/principal.ts';
import { createReviewCache } from '../../src/check/review-cache.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { createSecret, type Secret } from '../../src/secret.ts';
import { unsignedJwt } from '../support/jwt.ts';
import { createManualClock } from '../support/manual-clock.ts';

const alice: ReviewedUser = {
  username: 'system:serviceaccount:gw-tier-free:alice-522b276a',
  uid: 'uid-1',
  groups: ['system:serviceaccounts:gw-tier-free', 'system:authenticated'],
  extra: {},
};

type Answer = ReviewedUser | ReturnType<typeof denied> | Error | 'hang';

interface SetUp {
  readonly opaqueTokens?: boolean;
  readonly issuersKnown?: boolean;
  readonly ownKey?: string;
  readonly signature?: Awaited<ReturnType<VerifySignature>>;
}

function setUp({ opaqueTokens = false, issuersKnown = true, ownKey, signature }: SetUp = {}) {
  const clock = createManualClock();
  const asked: Secret[] = [];
  let answer: Answer = alice;
  const lifetime = principalLifetime(60_000, 300_000);
  const cache = createReviewCache<Principal>({
    maxEntries: 100,
    maxDenials: 100,
    ...lifetime,
    denialTtlMs: 2000,
    random: () => 0,
    now: clock.now,
    observe: () => undefined,
  });
  const identify = createIdentify({
    screen: {
      audience: 'gw-sa',
      issuers: () => (issuersKnown ? ['https://cluster.example'] : undefined),
      isOwnKey: (id) => id === ownKey,
      opaqueTokens,
    },
    ...(signature !== undefined && { verifySignature: () => Promise.resolve(signature) }),
    authenticate: (token) => {
      asked.push(token);
      if (answer === 'hang') return new Promise(() => undefined);
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
    spend: (_source, review) => review(),
    cache,
    now: clock.now,
  });
  const claims = (more: Readonly<Record<string, unknown>> = {}) => ({
    iss: 'https://cluster.example',
    aud: ['gw-sa'],
    exp: clock.now() / 1000 + 3600,
    iat: clock.now() / 1000,
    jti: 'jti-1',
    'kubernetes.io': {
      serviceaccount: { name: 'alice-522b276a', uid: 'uid-1' },
      secret: { name: 'tgt-1', uid: 's-1' },
    },
    ...more,
  });
  return {
    clock,
    asked,
    claims,
    answerWith: (next: Answer) => {
      answer = next;
    },
    identify: (token: string, withinMs = 1000) =>
      identify(createSecret(token), { source: '127.0.0.1', deadlineAtMs: clock.now() + withinMs }),
  };
}

async function reasonOf(answer: ReturnType<ReturnType<typeof setUp>['identify']>): Promise<string> {
  const settled = await answer;
  return isDenied(settled) ? settled.reason : 'passed';
}

describe('the identity of a token', () => {
  it('is what the TokenReview says, with what the token says of itself', async () => {
    const { identify, claims, clock } = setUp();
    expect(await identify(unsignedJwt(claims()))).toEqual({
      ...alice,
      serviceAccount: { namespace: 'gw-tier-free', name: 'alice-522b276a', uid: 'uid-1' },
      secret: { name: 'tgt-1', uid: 's-1' },
      jti: 'jti-1',
      issuedAtMs: clock.now(),
      expiresAtMs: clock.now() + 3_600_000,
    });
  });

  it('is asked for once, then known without waiting', async () => {
    const { identify, claims, asked } = setUp();
    const token = unsignedJwt(claims());
    await Promise.all(Array.from({ length: 50 }, async () => identify(token)));
    expect(asked).toHaveLength(1);
    expect(identify(token)).not.toBeInstanceOf(Promise);
  });

  it.each([
    ['no JWT', () => 'garbage', 'credential_malformed'],
    ['two parts', () => 'e30.e30', 'credential_malformed'],
    ['an empty signature', () => 'e30.e30.', 'credential_malformed'],
    ['parts that are no JSON', () => 'a.b.c', 'credential_malformed'],
    [
      'a payload that is no object',
      () => `e30.${Buffer.from('[]').toString('base64url')}.c2ln`,
      'credential_malformed',
    ],
  ])('is refused without a question for %s', async (_name, token, reason) => {
    const { identify, asked } = setUp();
    expect(await reasonOf(identify(token()))).toBe(reason);
    expect(asked).toEqual([]);
  });

  it.each([
    ['an end long past', { exp: 1_699_999_000 }, 'token_expired'],
    ['another audience', { aud: ['https://kubernetes.default.svc'] }, 'wrong_audience'],
    ['no audience', { aud: undefined }, 'wrong_audience'],
    ['another issuer', { iss: 'https://elsewhere.example' }, 'token_rejected'],
    ['no issuer', { iss: undefined }, 'token_rejected'],
  ])('is refused without a question for %s', async (_name, more, reason) => {
    const { identify, asked, claims } = setUp();
    expect(await reasonOf(identify(unsignedJwt(claims(more))))).toBe(reason);
    expect(asked).toEqual([]);
  });

  it('leaves a token within the leeway to the API server, and calls its refusal expired', async () => {
    const { identify, claims, clock, asked, answerWith } = setUp();
    answerWith(denied('token_rejected', 'no'));
    expect(await reasonOf(identify(unsignedJwt(claims({ exp: clock.now() / 1000 - 30 }))))).toBe(
      'token_expired',
    );
    expect(asked).toHaveLength(1);
  });

  it('does not screen for the issuer while it is not known', async () => {
    const { identify, claims } = setUp({ issuersKnown: false });
    expect(await reasonOf(identify(unsignedJwt(claims({ iss: 'https://elsewhere.example' }))))).toBe(
      'passed',
    );
  });

  it('leaves a token of an own key to the signature check, whatever issuer it names', async () => {
    const { identify, claims } = setUp({ ownKey: 'k' });
    expect(await reasonOf(identify(unsignedJwt(claims({ iss: 'https://before.example' }))))).toBe('passed');
  });

  it('keeps forged tokens from the TokenReview, and asks when the keys are not known', async () => {
    const forged = setUp({ signature: 'invalid' });
    expect(await reasonOf(forged.identify(unsignedJwt(forged.claims())))).toBe('token_rejected');
    expect(forged.asked).toEqual([]);
    const unknown = setUp({ signature: 'unknown' });
    expect(await reasonOf(unknown.identify(unsignedJwt(unknown.claims())))).toBe('passed');
  });

  it('lets opaque tokens on to the TokenReview only where configured', async () => {
    const { identify } = setUp({ opaqueTokens: true });
    expect(await reasonOf(identify('sha256~abc'))).toBe('passed');
  });

  it('never outlives the token', async () => {
    const { identify, claims, clock, asked } = setUp();
    const token = unsignedJwt(claims({ exp: clock.now() / 1000 + 10 }));
    await identify(token);
    clock.advance(9999);
    expect(identify(token)).not.toBeInstanceOf(Promise);
    clock.advance(1);
    await identify(token);
    expect(asked).toHaveLength(2);
  });

  it('goes on through an outage, never past the end of the token', async () => {
    const { identify, claims, clock, answerWith } = setUp();
    const token = unsignedJwt(claims({ exp: clock.now() / 1000 + 120 }));
    await identify(token);
    answerWith(new DependencyError('kubernetes', 'unreachable'));
    clock.advance(100_000);
    expect(await reasonOf(identify(token))).toBe('passed');
    clock.advance(20_000);
    expect(await reasonOf(identify(token))).toBe('identity_unavailable');
  });

  it('serves no opaque token stale', async () => {
    const { identify, clock, answerWith } = setUp({ opaqueTokens: true });
    await identify('sha256~abc');
    answerWith(new DependencyError('kubernetes', 'failed'));
    clock.advance(60_000);
    expect(await reasonOf(identify('sha256~abc'))).toBe('identity_unavailable');
  });

  it('can not be told of an unknown token in an outage, and says when to come again', async () => {
    const { identify, claims, answerWith } = setUp();
    answerWith(new DependencyError('kubernetes', 'overloaded', { retryAfterMs: 7000 }));
    expect(await identify(unsignedJwt(claims()))).toMatchObject({
      reason: 'identity_unavailable',
      retryAfterMs: 7000,
    });
  });

  it('answers by the deadline of the check, though the review goes on', async () => {
    const { identify, claims, answerWith } = setUp();
    answerWith('hang');
    expect(await reasonOf(identify(unsignedJwt(claims()), 10))).toBe('identity_unavailable');
  });

  it('answers with what ran out when the deadline comes before the API server', async () => {
    const { identify, claims, clock, answerWith } = setUp();
    const token = unsignedJwt(claims());
    await identify(token);
    clock.advance(60_000);
    answerWith('hang');
    expect(await reasonOf(identify(token, 10))).toBe('passed');
  });

  it('passes a bug on as a bug', async () => {
    const { identify, claims, answerWith } = setUp();
    answerWith(new TypeError('bug'));
    await expect(identify(unsignedJwt(claims()))).rejects.toThrow('bug');
  });
});

describe('the cache key of a token', () => {
  it('holds neither the token nor its plain hash, and differs in every process', () => {
    const token = createSecret('the-token');
    const key = createTokenKey();
    expect(key(token)).toBe(key(token));
    expect(key(token)).not.toBe(createTokenKey()(token));
    expect(inspect(key(token))).not.toContain('the-token');
    expect(key(token)).toHaveLength(32);
  });
});
