import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { type AccessGranted, createCheckAccess } from '../../src/check/access.ts';
import { createCheck } from '../../src/check/check.ts';
import { createReadCredential } from '../../src/check/credential.ts';
import { createIdentify, principalLifetime } from '../../src/check/identity.ts';
import { createReadModel } from '../../src/check/model.ts';
import type { ReviewedUser } from '../../src/check/principal.ts';
import { createReviewBudget } from '../../src/check/review-budget.ts';
import { createReviewCache } from '../../src/check/review-cache.ts';
import { checkInput } from '../support/check-input.ts';

const tokens = 100_000;
const checks = 1_000_000;
/** Of a real access token, about 905 characters. */
const signature = 'A'.repeat(342);
const header = Buffer.from('{"alg":"RS256","kid":"k"}').toString('base64url');
const startedAtSeconds = Math.floor(Date.now() / 1000);

function tokenOf(index: number): string {
  const name = `person-${index}`;
  const claims = {
    iss: 'https://kubernetes.default.svc.cluster.local',
    aud: ['gw-sa'],
    exp: startedAtSeconds + 86_400,
    iat: startedAtSeconds,
    jti: `8f14e45f-ceea-467f-a0e6-${String(index).padStart(12, '0')}`,
    sub: `system:serviceaccount:gw-tier-free:${name}`,
    'kubernetes.io': {
      namespace: 'gw-tier-free',
      serviceaccount: { name, uid: `c9f0f895-fb98-4b91-9f5c-${String(index).padStart(12, '0')}` },
      secret: { name: `tgt-${index}`, uid: `45c48cce-2e2d-4fbd-8a1a-${String(index).padStart(12, '0')}` },
    },
  };
  return `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
}

/** As a TokenReview brings it: parsed, so that nothing is shared between answers. */
function reviewed(token: string): ReviewedUser {
  const { sub } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    readonly sub: string;
  };
  return JSON.parse(
    JSON.stringify({
      username: sub,
      uid: 'c9f0f895-fb98-4b91-9f5c-000000000000',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:gw-tier-free', 'system:authenticated'],
      extra: { 'authentication.kubernetes.io/credential-id': ['JTI=8f14e45f-ceea-467f-a0e6-000000000000'] },
    }),
  ) as ReviewedUser;
}

function setUp() {
  let reviews = 0;
  const events = new Map<string, number>();
  const now = Date.now;
  const { spend, inFlight, queued } = createReviewBudget({
    concurrency: 10_000,
    perSecond: 1e9,
    perSourcePerSecond: 1e9,
    queue: 100_000,
    maxWaitMs: 2_000,
    now,
    observe: () => undefined,
  });
  const memory = {
    maxEntries: tokens,
    maxDenials: 10_000,
    random: Math.random,
    now,
    observe: (event: string) => events.set(event, (events.get(event) ?? 0) + 1),
  };
  const principals = createReviewCache({
    ...memory,
    ...principalLifetime(3_600_000, 300_000),
    denialTtlMs: 2_000,
  });
  const grants = createReviewCache<AccessGranted>({
    ...memory,
    ttlMs: () => 3_600_000,
    denialTtlMs: 5_000,
    staleMs: () => 300_000,
  });
  const free = { name: 'free' };
  const check = createCheck(
    {
      readRoute: () => 'model',
      readCredential: createReadCredential({ headers: ['authorization'] }),
      identify: createIdentify({
        screen: { audience: 'gw-sa', issuers: () => undefined, opaqueTokens: false },
        authenticate: (token) => {
          reviews += 1;
          return Promise.resolve(reviewed(token.reveal()));
        },
        spend,
        cache: principals,
        now,
      }),
      checkPresence: (principal) => principal,
      subjectOf: (principal) => principal.serviceAccount?.name ?? '',
      checkDenied: (principal) => principal,
      assignTier: () => free as never,
      readModel: createReadModel({ from: 'path', template: '/{namespace}/{model}/', header: undefined }),
      checkAccess: createCheckAccess({
        authorize: ({ namespace }) => Promise.resolve({ namespace }),
        spend,
        cache: grants,
        extraKeys: [],
        now,
      }),
      checkLimit: () => ({ windows: [] }),
    },
    { deadlineMs: 1_000, now },
  );
  return {
    principals,
    grants,
    reviews: () => reviews,
    atRest: () => inFlight() === 0 && queued() === 0,
    async ask(index: number): Promise<void> {
      const input = checkInput({ headers: { authorization: `Bearer ${tokenOf(index)}` } });
      const outcome = await check(input);
      if (outcome.denied) throw new Error(outcome.reason);
    },
  };
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

it('holds its memory through a million Checks of 100,000 tokens, and its bounds through more', async () => {
  const world = setUp();
  await world.ask(0);
  const emptyBytes = heapBytes();
  // Twice: the second time makes what is made of an answer only when it is used again.
  for (let index = 0; index < tokens * 2; index += 1) await world.ask(index % tokens);
  const warmBytes = heapBytes();
  const perPrincipal = (warmBytes - emptyBytes) / tokens;
  console.log(`${perPrincipal.toFixed(0)} bytes for a cached principal and its access verdict`);
  expect(world.principals.size()).toBe(tokens);

  const startedAtMs = performance.now();
  const sizes: number[] = [];
  for (let count = 0; count < checks; count += 1) {
    await world.ask((count * 7_919) % tokens);
    if (count % 250_000 === 249_999) sizes.push(heapBytes());
  }
  const seconds = (performance.now() - startedAtMs) / 1000;
  const reviewsBefore = world.reviews();
  console.log(
    `heap after warm-up ${mib(warmBytes)}, then ${sizes.map(mib).join(', ')}; ${(checks / seconds).toFixed(0)} Checks a second`,
  );
  expect(reviewsBefore).toBe(tokens);
  for (const size of sizes) expect(size).toBeLessThan(warmBytes * 1.03);

  // Half as many again: the bound holds, and what it pushes out is gone.
  for (let index = tokens; index < tokens * 1.5; index += 1) await world.ask(index);
  expect([world.principals.size(), world.grants.size()]).toEqual([tokens, tokens]);
  expect(heapBytes()).toBeLessThan(warmBytes * 1.1);
  expect(world.atRest()).toBe(true);
  expect(perPrincipal).toBeLessThan(4_096);
});

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
