import { describe, expect, it } from 'vitest';
import { type CheckStages, createCheck } from '../../src/check/check.ts';
import type { Decision } from '../../src/check/limit.ts';
import { createCheckLimit, type LimitOptions } from '../../src/check/limit.ts';
import { denied } from '../../src/check/outcome.ts';
import type { Principal } from '../../src/check/principal.ts';
import { createSubjectOf, type FindOwner } from '../../src/check/subject.ts';
import { createAssignTier } from '../../src/check/tier.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { parsePolicyFile } from '../../src/policy/parse-policy.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { createSecret } from '../../src/secret.ts';
import { createReservationNames } from '../../src/check/reservation.ts';
import { checkInput } from '../support/check-input.ts';

const principal: Principal = {
  username: 'system:serviceaccount:gw-tier-free:alice-522b276a',
  uid: 'u',
  groups: ['system:authenticated', 'system:serviceaccounts:gw-tier-free'],
  extra: {},
  serviceAccount: { namespace: 'gw-tier-free', name: 'alice-522b276a', uid: 'u' },
};
const model = { namespace: 'llm', name: 'llama', id: 'llm/llama' };

function policyOf(text: string, defaultTier?: string): Policy {
  const parsed = parsePolicyFile(text, { instance: 'gw', defaultLimits: 'unlimited', defaultTier });
  if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
  return parsed.policy;
}

const policy = policyOf(
  '[{name: free, groups: [f], limits: {requests: [{limit: 5, window: 2m}]}}, {name: premium, level: 1, groups: [p]}]',
);

const admitted: Decision = { admitted: true, windows: [], retryAfterMs: undefined };

/** Stages that let everything pass at once, in the order in which they were asked. */
function setUp(changes: Partial<CheckStages> = {}) {
  const asked: string[] = [];
  const stages: CheckStages = {
    readRoute: () => 'model',
    readCredential: () => createSecret('a.b.c'),
    identify: () => principal,
    checkPresence: () => principal,
    subjectOf: () => 'alice',
    checkDenied: () => principal,
    assignTier: createAssignTier(() => policy),
    readModel: () => model,
    checkAccess: () => ({ namespace: 'llm' }),
    checkLimit: () => ({ windows: [] }),
    ...changes,
  };
  const traced = Object.fromEntries(
    Object.entries(stages).map(([name, stage]: [string, (...args: never[]) => unknown]) => [
      name,
      (...args: never[]) => {
        asked.push(name);
        return stage(...args);
      },
    ]),
  ) as unknown as CheckStages;
  return { check: createCheck(traced, { deadlineMs: 150, now: Date.now }), asked };
}

const order = [
  'readRoute',
  'readCredential',
  'identify',
  'checkPresence',
  'subjectOf',
  'checkDenied',
  'assignTier',
  'readModel',
  'checkAccess',
  'checkLimit',
] as const;

/** Those that may have to ask somebody. */
const waiting: ReadonlySet<string> = new Set([
  'identify',
  'checkPresence',
  'subjectOf',
  'checkAccess',
  'checkLimit',
]);

describe('a check', () => {
  it('takes every stage in its order, and answers at once when none has to wait', () => {
    const { check, asked } = setUp();
    expect(check(checkInput())).toEqual({
      denied: false,
      kind: 'model',
      subject: 'alice',
      tier: 'free',
      model,
      windows: [],
    });
    // And once more, last, whether the token was revoked meanwhile.
    expect(asked).toEqual([...order, 'checkPresence', 'checkDenied']);
  });

  it.each(order)('ends at a denial of %s, at once or awaited, and asks nothing further', async (stage) => {
    const refusal = denied('model_forbidden', 'no');
    for (const answer of waiting.has(stage) ? [refusal, Promise.resolve(refusal)] : [refusal]) {
      const { check, asked } = setUp({ [stage]: () => answer });
      expect(await check(checkInput())).toMatchObject({ denied: true, reason: 'model_forbidden' });
      expect(asked).toEqual(order.slice(0, order.indexOf(stage) + 1));
    }
  });

  it('tells the slot of a request that passes, and gives it back when it does not pass after all', async () => {
    const revoked = denied('token_revoked', 'no');
    const endings = [
      { answer: principal, given: 0 },
      { answer: revoked, given: 1 },
      { answer: Promise.resolve(revoked), given: 1 },
      { answer: Promise.reject(new Error('a bug')), given: 1 },
    ];
    for (const { answer, given } of endings) {
      let isLimited = false;
      let givenBack = 0;
      const slot = {
        id: 'a.b',
        giveBack() {
          givenBack += 1;
        },
      };
      let takenBack = 0;
      const reservation = {
        id: 'c.d',
        tokens: { tokens: 30, inputTokens: 10, outputTokens: 20 },
        giveBack() {
          takenBack += 1;
        },
      };
      const { check } = setUp({
        checkPresence: () => (isLimited ? answer : principal),
        checkLimit() {
          isLimited = true;
          return { windows: [], slot, reservation };
        },
      });
      const outcome = await Promise.resolve(check(checkInput())).catch(() => undefined);
      expect([givenBack, takenBack]).toEqual([given, given]);
      if (given === 0) {
        expect(outcome).toMatchObject({ slotId: 'a.b', reservation: { id: 'c.d', tokens: 30 } });
      } else {
        expect(outcome ?? {}).not.toHaveProperty('slotId');
        expect(outcome ?? {}).not.toHaveProperty('reservation');
      }
    }
  });

  it('denies what was revoked while a stage waited', async () => {
    const revoked = denied('token_revoked', 'no');
    let isRevoked = false;
    const { check } = setUp({
      checkPresence: () => (isRevoked ? revoked : principal),
      checkLimit: async () => {
        isRevoked = true;
        return { windows: [] };
      },
    });
    expect(await check(checkInput())).toMatchObject({ reason: 'token_revoked', subject: 'alice', model });
  });

  it('says in a denial what was known by then', async () => {
    const refusal = denied('requests_exceeded', 'no');
    const { check } = setUp({ checkLimit: () => refusal, identify: () => Promise.resolve(principal) });
    expect(await check(checkInput())).toMatchObject({ subject: 'alice', tier: 'free', model });
    const early = setUp({ readCredential: () => refusal });
    expect(early.check(checkInput())).not.toHaveProperty('subject');
  });

  it('lets a public path pass unasked, and an identity path after its tier', () => {
    const open = setUp({ readRoute: () => 'public' });
    expect(open.check(checkInput())).toEqual({ denied: false, kind: 'public', windows: [] });
    expect(open.asked).toEqual(['readRoute']);
    const identity = setUp({ readRoute: () => 'identity' });
    expect(identity.check(checkInput())).toMatchObject({ kind: 'identity', subject: 'alice', tier: 'free' });
    expect(identity.asked).not.toContain('checkAccess');
  });

  it('passes a bug of a stage on', async () => {
    const { check } = setUp({ checkAccess: () => Promise.reject(new TypeError('bug')) });
    await expect(check(checkInput())).rejects.toThrow('bug');
  });

  it('gives every stage the lesser of its own deadline and the caller\u2019s, less the way back', () => {
    let deadlineAtMs = 0;
    const checkAccess: CheckStages['checkAccess'] = (_principal, _model, asking) => {
      ({ deadlineAtMs } = asking);
      return { namespace: 'llm' };
    };
    const { check } = setUp({ checkAccess });
    const nowMs = Date.now();
    void check(checkInput());
    expect(deadlineAtMs - nowMs).toBeGreaterThanOrEqual(150);
    void check(checkInput({ deadlineAtMs: nowMs + 100 }));
    expect(deadlineAtMs).toBe(nowMs + 80);
  });
});

describe('the tier of a caller', () => {
  it('is the highest that holds one of the groups', () => {
    const assignTier = createAssignTier(() => policy);
    expect(assignTier(['f', 'p', 'x'])).toMatchObject({ name: 'premium' });
    expect(assignTier(['f'])).toMatchObject({ name: 'free' });
    expect(assignTier(['system:serviceaccounts:gw-tier-premium', 'f'])).toMatchObject({ name: 'premium' });
  });

  it('is none, or the default tier where one is set', () => {
    expect(createAssignTier(() => policy)(['x'])).toMatchObject({ reason: 'no_tier' });
    const withDefault = policyOf('[{name: free, groups: [f]}]', 'free');
    expect(createAssignTier(() => withDefault)(['x'])).toMatchObject({ name: 'free' });
  });
});

describe('the subject of a caller', () => {
  const subjectOf = (findOwner: FindOwner, deadlineMs = 1000) => {
    const find = createSubjectOf({
      isTierNamespace: (namespace) => namespace === 'gw-tier-free',
      findOwner,
      now: Date.now,
    });
    return (of: Principal) => find(of, { source: '127.0.0.1', deadlineAtMs: Date.now() + deadlineMs });
  };

  it('is the person that the token was issued to, else the account\u2019s name', async () => {
    expect(subjectOf(() => 'alice@example.com')(principal)).toBe('alice@example.com');
    expect(await subjectOf(() => Promise.resolve('alice@example.com'))(principal)).toBe('alice@example.com');
    expect(subjectOf(() => undefined)(principal)).toBe('alice-522b276a');
  });

  it('is the full user name of any other token', () => {
    const never: FindOwner = () => {
      throw new Error('asked');
    };
    const other = { ...principal, serviceAccount: { namespace: 'default', name: 'ci', uid: 'u' } };
    expect(subjectOf(never)(other)).toBe(principal.username);
    const { serviceAccount: _account, ...person } = { ...principal, username: 'kube:admin' };
    expect(subjectOf(never)(person)).toBe('kube:admin');
  });

  it('can not be told while nobody knows the account', async () => {
    const outage = () => Promise.reject(new DependencyError('kubernetes', 'unreachable'));
    expect(await subjectOf(outage)(principal)).toMatchObject({ reason: 'identity_unavailable' });
    const hanging = () => new Promise<undefined>(() => undefined);
    expect(await subjectOf(hanging, 10)(principal)).toMatchObject({ reason: 'identity_unavailable' });
  });
});

describe('the limit of a caller', () => {
  const free = policy.tiers[0] ?? expect.fail('no tier');
  const premium = policy.tiers[1] ?? expect.fail('no tier');
  const caller = {
    principal,
    subject: 'alice',
    tier: free,
    model: { namespace: 'llm', name: 'llama', id: 'llm/llama' },
    id: 'r-1',
    input: checkInput(),
    deadlineAtMs: Date.now() + 60_000,
  };
  const limitBy = (options: Pick<LimitOptions, 'consume' | 'now'>) =>
    createCheckLimit({
      policy: () => policy,
      settle: () => expect.fail('settled'),
      groupsOf: () => [],
      newId: () => expect.fail('needs no id'),
      reservationNames: createReservationNames('a key'),
      readTokenDemand: () => expect.fail('no tokens are limited'),
      ...options,
    });
  const [window] = free.windows;
  if (window === undefined) throw new Error('no window');
  const exceeded: Decision = {
    admitted: false,
    windows: [{ window, remaining: 0, resetAfterMs: 90_000, exceeded: true }],
    retryAfterMs: 30_000,
  };

  it('charges every window of the tier once, under the request\u2019s id', () => {
    const claims: unknown[] = [];
    const checkLimit = limitBy({
      consume: (claim) => {
        claims.push(claim);
        return admitted;
      },
      now: Date.now,
    });
    expect(checkLimit(caller)).toEqual({ windows: [] });
    expect(claims).toEqual([
      { subject: 'alice', id: 'r-1', charges: [{ window, cost: 1 }], deadlineAtMs: caller.deadlineAtMs },
    ]);
  });

  it('asks nothing for an unlimited tier', () => {
    const checkLimit = limitBy({
      consume: () => {
        throw new Error('asked');
      },
      now: Date.now,
    });
    expect(checkLimit({ ...caller, tier: premium })).toEqual({ windows: [] });
  });

  it('denies with the windows and the earliest time that fits', async () => {
    const denial = { reason: 'requests_exceeded', retryAfterMs: 30_000, windows: exceeded.windows };
    expect(limitBy({ consume: () => exceeded, now: Date.now })(caller)).toMatchObject(denial);
    const awaited = limitBy({ consume: () => Promise.resolve(exceeded), now: Date.now });
    expect(await awaited(caller)).toMatchObject(denial);
  });

  it('says no time where none will fit', () => {
    const checkLimit = limitBy({
      consume: () => ({ ...exceeded, retryAfterMs: undefined }),
      now: Date.now,
    });
    expect(checkLimit(caller)).not.toHaveProperty('retryAfterMs');
  });

  it('can not tell while the counters are away, refused or hanging', async () => {
    const outage = new DependencyError('redis', 'unreachable');
    const throwing = limitBy({
      consume: () => {
        throw outage;
      },
      now: Date.now,
    });
    expect(throwing(caller)).toMatchObject({ reason: 'limit_unavailable', retryAfterMs: 1000 });
    const rejecting = limitBy({ consume: () => Promise.reject(outage), now: Date.now });
    expect(await rejecting(caller)).toMatchObject({ reason: 'limit_unavailable', cause: outage });
    const hanging = limitBy({ consume: () => new Promise(() => undefined), now: Date.now });
    expect(await hanging({ ...caller, deadlineAtMs: Date.now() + 10 })).toMatchObject({
      reason: 'limit_unavailable',
    });
  });

  it('passes a bug on', async () => {
    const checkLimit = limitBy({
      consume: () => Promise.reject(new TypeError('bug')),
      now: Date.now,
    });
    await expect(checkLimit(caller)).rejects.toThrow('bug');
  });
});
