import { createSign, randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createIdentify } from '../../src/check/identity.ts';
import { isDenied } from '../../src/check/outcome.ts';
import { createReviewCache } from '../../src/check/review-cache.ts';
import type { Principal } from '../../src/check/principal.ts';
import { createSecret } from '../../src/secret.ts';
import type { Envoy } from '../real/envoy.ts';
import { type Authorizer, audience, type Installation, instance, startInstallation } from './installation.ts';
import { issue, quantile, setUnlimited } from './issued.ts';

let installation: Installation;
let authorizer: Authorizer;
let envoy: Envoy;
let known: string;

beforeAll(async () => {
  installation = await startInstallation();
  await setUnlimited(installation);
  authorizer = await installation.startAuthorizer({ config: 'log: {decisions: {sample: 1000000}}' });
  envoy = await installation.startGateway(authorizer);
  known = (await issue(installation, 'known@example.com'))[0].token;
});

afterAll(() => installation.stop());

const flooders = new Agent({ keepAlive: true, maxSockets: 64 });
const others = new Agent({ keepAlive: true, maxSockets: 64 });

interface Answered {
  readonly status: number;
  readonly reason: string | undefined;
  readonly tookMs: number;
}

/** A request whose client has an address of its own: all of 127.0.0.0/8 is this machine. */
function ask(token: string, source: string): Promise<Answered> {
  const startedAtMs = performance.now();
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: envoy.port,
        localAddress: source,
        agent: source === flood ? flooders : others,
        path: '/llm/llama/v1/models',
        headers: { authorization: `Bearer ${token}` },
      },
      (answer) => {
        answer.resume();
        answer.on('error', reject);
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            reason: answer.headers['x-tiergate-reason']?.toString(),
            tookMs: performance.now() - startedAtMs,
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}

const flood = '127.0.0.66';
const honest = '127.0.0.7';

/** Closed loop with a known token: what this machine can do at the moment. */
async function measureFloor(): Promise<number> {
  const untilMs = performance.now() + 4_000;
  let count = 0;
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      while (performance.now() < untilMs) {
        await ask(known, honest);
        count += 1;
      }
    }),
  );
  return count / 4;
}

/** Milliseconds that known tokens took, fifty a second. */
async function measureKnown(durationMs: number): Promise<readonly number[]> {
  const answers: Promise<Answered>[] = [];
  const untilMs = performance.now() + durationMs;
  while (performance.now() < untilMs) {
    answers.push(ask(known, honest));
    await sleep(20);
  }
  return (await Promise.all(answers)).map(({ tookMs }) => tookMs);
}

/** As many different tokens a second, each once, until told to stop. */
function startFlood(perSecond: number, next: () => string) {
  let isOver = false;
  const reasons = new Map<string, number>();
  const answers: Promise<void>[] = [];
  const startedAtMs = performance.now();
  const sending = (async () => {
    let sent = 0;
    // oxlint-disable-next-line no-unmodified-loop-condition
    while (!isOver) {
      const due = ((performance.now() - startedAtMs) / 1000) * perSecond;
      for (; sent < due; sent += 1) {
        answers.push(
          ask(next(), flood).then(({ status, reason }) => {
            const word = `${status} ${reason}`;
            reasons.set(word, (reasons.get(word) ?? 0) + 1);
            return undefined;
          }),
        );
      }
      await sleep(5);
    }
    return sent;
  })();
  return {
    async stop() {
      isOver = true;
      const sent = await sending;
      await Promise.all(answers);
      return { sent, seconds: (performance.now() - startedAtMs) / 1000, reasons };
    },
  };
}

interface Header {
  readonly alg: string;
  readonly kid: string;
}

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

function garbageClaims(more: object = {}) {
  const nowSeconds = Math.floor(Date.now() / 1000);
  return {
    iss: installation.kube.issuer,
    aud: [audience],
    exp: nowSeconds + 3_600,
    iat: nowSeconds,
    jti: randomUUID(),
    sub: `system:serviceaccount:${instance}-tier-free:nobody`,
    'kubernetes.io': {
      namespace: `${instance}-tier-free`,
      serviceaccount: { name: 'nobody', uid: randomUUID() },
    },
    ...more,
  };
}

function headerOfKnown(): Header {
  return JSON.parse(Buffer.from(known.split('.')[0] ?? '', 'base64url').toString()) as Header;
}

/** Signed as the API server signs: only a TokenReview can tell that there is no such account. */
function signedGarbage(): string {
  const signed = `${encoded(headerOfKnown())}.${encoded(garbageClaims())}`;
  const key = installation.kube.serviceAccountSigningKeyPem;
  return `${signed}.${createSign('RSA-SHA256').update(signed).sign(key, 'base64url')}`;
}

it('keeps a flood of garbage away from the API server and from those who are known', async () => {
  expect((await ask(known, honest)).reason).toBeUndefined();
  const floor = await measureFloor();
  const perSecond = Math.round(floor * 0.3);
  const quiet = await measureKnown(6_000);
  const report = (name: string, values: readonly number[]) =>
    `${name}: p50 ${quantile(values, 0.5).toFixed(1)} ms, p99 ${quantile(values, 0.99).toFixed(1)} ms`;
  console.log(`floor ${floor.toFixed(0)} a second, flood ${perSecond} a second; ${report('quiet', quiet)}`);
  const reviews = () => installation.reviews('tokenreviews');
  const forgedSignature = 'A'.repeat(342);
  const header = encoded(headerOfKnown());
  const prepared = Array.from({ length: 3_000 }, signedGarbage);
  let nextPrepared = 0;

  const kinds: readonly (readonly [string, number, () => string])[] = [
    [
      'another audience',
      perSecond,
      () => `${header}.${encoded(garbageClaims({ aud: ['x'] }))}.${forgedSignature}`,
    ],
    ['a forged signature', perSecond, () => `${header}.${encoded(garbageClaims())}.${forgedSignature}`],
    [
      'a good signature and no account',
      Math.min(perSecond, 350),
      () => prepared[(nextPrepared += 1) % prepared.length] ?? '',
    ],
  ];
  for (const [name, rate, next] of kinds) {
    const before = reviews();
    const flooding = startFlood(rate, next);
    await sleep(500);
    const [stranger] = await issue(installation, `stranger-${rate}-${name.length}@example.com`);
    const during = measureKnown(6_000);
    await sleep(2_000);
    const answer = await ask(stranger.token, honest);
    const values = await during;
    const { sent, seconds, reasons } = await flooding.stop();
    const asked = reviews() - before - 1;
    console.log(
      `${name}: ${sent} in ${seconds.toFixed(1)} s, ${asked} TokenReviews; ${report('known', values)}; ` +
        `a stranger from elsewhere: ${answer.status} in ${answer.tookMs.toFixed(0)} ms; ` +
        JSON.stringify(Object.fromEntries(reasons)),
    );
    // Answered by the model, within the deadline of a Check: whoever is not the flood does not feel it.
    expect(answer.reason).toBeUndefined();
    expect(answer.tookMs).toBeLessThan(800);
    // Of a share of 50 a second, with as many at once.
    if (name === 'a good signature and no account') expect(asked).toBeLessThanOrEqual(50 * (seconds + 1) + 1);
    else expect(asked).toBe(0);
    // To be read from what is printed, on a machine that does nothing else; this only tells a queue from none.
    expect(quantile(values, 0.5)).toBeLessThan(100);
    expect(quantile(values, 0.99)).toBeLessThan(800);
  }
});

it('turns away what can not be valid more than ten thousand times a second', () => {
  const identify = createIdentify({
    screen: { audience, issuers: () => [installation.kube.issuer], opaqueTokens: false },
    authenticate: () => Promise.reject(new Error('asked')),
    spend: () => Promise.reject(new Error('spent')),
    cache: createReviewCache<Principal>({
      maxEntries: 1_000,
      maxDenials: 1_000,
      ttlMs: () => 60_000,
      denialTtlMs: 2_000,
      staleMs: () => 0,
      random: Math.random,
      now: Date.now,
      observe: () => undefined,
    }),
    now: Date.now,
  });
  const header = encoded({ alg: 'RS256', kid: 'k' });
  const count = 50_000;
  const tokens = Array.from({ length: 1_000 }, () =>
    createSecret(`${header}.${encoded(garbageClaims({ aud: ['x'] }))}.${'A'.repeat(342)}`),
  );
  const startedAtMs = performance.now();
  for (let index = 0; index < count; index += 1) {
    const token = tokens[index % tokens.length];
    if (token === undefined) throw new Error('no token');
    const answer = identify(token, { source: flood, deadlineAtMs: Number.POSITIVE_INFINITY });
    if (answer instanceof Promise || !isDenied(answer)) throw new Error('not denied at once');
  }
  const perSecond = count / ((performance.now() - startedAtMs) / 1000);
  console.log(`${perSecond.toFixed(0)} tokens a second turned away by the look alone`);
  expect(perSecond).toBeGreaterThan(10_000);
});
