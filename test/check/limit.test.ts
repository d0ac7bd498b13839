import { describe, expect, it, vi } from 'vitest';
import { createCheckLimit, type Claim, type Consume } from '../../src/check/limit.ts';
import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import type { MetadataScalar } from '../../src/check/check-input.ts';
import { type Denied, isDenied } from '../../src/check/outcome.ts';
import { rateLimitHeaders } from '../../src/check/rate-limit-headers.ts';
import type { Settlement } from '../../src/check/settlement.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { parsePolicyFile } from '../../src/policy/parse-policy.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { readDemand } from '../../src/settle/demand.ts';
import { checkInput } from '../support/check-input.ts';

function policyOf(text: string): Policy {
  const parsed = parsePolicyFile(text, {
    instance: 'maas',
    defaultLimits: { requests: [{ limit: 5, window: 120_000 }] },
    defaultTier: undefined,
  });
  if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
  return parsed.policy;
}

const document = `
tiers:
- name: gold
  groups: [gold]
  limits:
    requests: [{limit: 10, window: 2m}]
    models:
      "llm/big-*": {requests: [{limit: 6, window: 1m}], weight: 3}
      "llm/free": unlimited
    shared: {by: "group:team-*", requests: [{limit: 12, window: 1d}]}
capacity:
  "llm/llama": {requests: [{limit: 15, window: 1m}]}
`;

/** The stage on counters in memory, as people with groups ask for models. */
function start(text = document, wrap: (consume: Consume) => Consume = (consume) => consume) {
  const clock = createManualClock();
  const counters = createMemoryCounters({ now: clock.now });
  const claims: Claim[] = [];
  const settlements: Settlement[] = [];
  let policy = policyOf(text);
  let ids = 0;
  const check = createCheckLimit({
    policy: () => policy,
    consume: wrap((claim) => {
      claims.push(claim);
      return counters.consume(claim);
    }),
    settle: (settlement) => {
      settlements.push(settlement);
      return counters.settle(settlement);
    },
    groupsOf: ({ groups }) => groups,
    newId: () => `own-${(ids += 1)}`,
    reservationNames: counters.reservationNames,
    readTokenDemand: readDemand,
    now: clock.now,
  });
  const ask = (
    subject: string,
    model = 'llm/llama',
    more: {
      groups?: readonly string[];
      id?: string;
      metadata?: Readonly<Record<string, MetadataScalar>>;
    } = {},
  ) => {
    const [namespace = '', name = ''] = model.split('/');
    const { groups = [], id = '', metadata = {} } = more;
    return check({
      principal: { username: subject, uid: '', groups, extra: {} },
      subject,
      tier: policy.tiers[0] ?? expect.fail('no tier'),
      model: { namespace, name, id: model },
      id,
      input: checkInput({ metadata }),
      deadlineAtMs: clock.now() + 1000,
    });
  };
  return {
    clock,
    claims,
    settlements,
    ask,
    /** How many of so many in a row pass. */
    passed: (count: number, ...of: Parameters<typeof ask>) =>
      Array.from({ length: count }, () => ask(...of)).filter((answer) => !isDenied(answer)).length,
    change: (next: string) => {
      policy = policyOf(next);
    },
  };
}

const budgets = `
tiers:
- name: free
  groups: [f]
  reserve: {promptTokens: 100, maxTokens: 200}
  streamWithoutUsage: deny
  limits:
    requests: [{limit: 100, window: 2m}]
    tokens: [{limit: 1000, window: 2m}]
    models:
      "llm/big-*": {weight: 3}
    shared: {by: "group:team-*", outputTokens: [{limit: 500, window: 1d}]}
`;

describe('token budgets', () => {
  it('are charged what a request asks for, or what the tier says', () => {
    const { ask } = start(budgets);
    expect(ask('alice', 'llm/a')).toMatchObject({
      windows: [{ remaining: 99 }, { remaining: 700 }],
      reservation: { tokens: { tokens: 300, inputTokens: 100, outputTokens: 200 } },
    });
    expect(ask('alice', 'llm/a', { metadata: { max_tokens: 50 } })).toMatchObject({
      windows: [{ remaining: 98 }, { remaining: 550 }],
    });
    expect(ask('alice', 'llm/big-one', { metadata: { max_tokens: 50 } })).toMatchObject({
      windows: [{ remaining: 95 }, { remaining: 100 }],
      reservation: { tokens: { tokens: 150 } },
    });
  });

  it('deny in words of their own, with the time at which the request fits', () => {
    const { ask, clock } = start(budgets);
    void ask('alice', 'llm/a', { metadata: { max_tokens: 800 } });
    clock.advance(20_000);
    const denial = ask('alice', 'llm/a');
    expect(denial).toMatchObject({ reason: 'tokens_exceeded', retryAfterMs: 100_000 });
    expect(Object.fromEntries(rateLimitHeaders((denial as Denied).windows ?? []))).toMatchObject({
      'x-ratelimit-remaining-requests': '99',
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '100',
    });
  });

  it('say so of a request that no waiting helps', () => {
    const { ask } = start(budgets);
    const denial = ask('alice', 'llm/a', { metadata: { max_tokens: 1000 } });
    expect(denial).toMatchObject({
      reason: 'tokens_exceeded',
      detail: expect.stringContaining('max_tokens'),
    });
    expect(denial).not.toHaveProperty('retryAfterMs');
  });

  it('are those of a team too, all or nothing, and one id leads to both', async () => {
    const { ask, passed, settlements } = start(budgets);
    const groups = ['team-a'];
    expect(passed(5, 'alice', 'llm/a', { groups })).toBe(2);
    expect(ask('bob', 'llm/a', { groups })).toMatchObject({ reason: 'tokens_exceeded' });
    expect(settlements.map(({ used }) => used)).toEqual(['nothing', 'nothing', 'nothing', 'nothing']);
    expect(passed(5, 'bob', 'llm/a')).toBe(3);
  });

  it('refuse a stream that will not say what it used, where the tier says so, and charge nothing', () => {
    const { ask, claims } = start(budgets);
    expect(ask('alice', 'llm/a', { metadata: { stream: true } })).toMatchObject({ reason: 'usage_required' });
    expect(claims).toEqual([]);
    expect(ask('alice', 'llm/a', { metadata: { stream: true, include_usage: true } })).toMatchObject({
      windows: [{}, {}],
    });
    const shadow = start(budgets.replace('streamWithoutUsage', 'mode: shadow\n  streamWithoutUsage'));
    expect(shadow.ask('alice', 'llm/a', { metadata: { stream: true } })).toMatchObject({ windows: [{}, {}] });
    const lax = start(budgets.replace('streamWithoutUsage: deny', ''));
    expect(lax.ask('alice', 'llm/a', { metadata: { stream: true } })).toMatchObject({ windows: [{}, {}] });
  });

  it('ask nothing of requests where no tokens are limited', () => {
    const { ask, claims } = start();
    expect(ask('alice', 'llm/other', { metadata: { stream: true } })).not.toHaveProperty('reservation');
    expect(claims[0]?.reservation).toBeUndefined();
  });

  it('are given back where the answer came after the deadline', async () => {
    let answer: (() => void) | undefined;
    const { ask, settlements } = start(budgets, (consume) => async (claim) => {
      await new Promise<void>((resolve) => (answer = resolve));
      return consume(claim);
    });
    vi.useFakeTimers();
    try {
      const asked = ask('alice', 'llm/a');
      await vi.advanceTimersByTimeAsync(1001);
      expect(await asked).toMatchObject({ reason: 'limit_unavailable' });
      answer?.();
      await vi.advanceTimersByTimeAsync(1);
      expect(settlements).toMatchObject([{ subject: 'alice', used: 'nothing' }]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('have nothing reserved where nobody counted', () => {
    const { ask } = start(budgets, () => () => ({ admitted: true, windows: [], retryAfterMs: undefined }));
    expect(ask('alice', 'llm/a')).toEqual({ windows: [] });
  });
});

describe('limits of a tier', () => {
  it('hold for all models together, at what a request for each weighs', () => {
    const { ask, passed } = start();
    expect(passed(1, 'alice', 'llm/big-one')).toBe(1);
    expect(passed(20, 'alice', 'llm/other')).toBe(7);
    expect(ask('alice', 'llm/big-one')).toMatchObject({ reason: 'requests_exceeded' });
  });

  it('have those of the narrowest pattern beside them, for all its models together', () => {
    const { passed } = start();
    expect(passed(20, 'alice', 'llm/big-one')).toBe(2);
    expect(passed(20, 'alice', 'llm/big-two')).toBe(0);
    expect(passed(20, 'bob', 'llm/big-two')).toBe(2);
  });

  it('hold at once when they are raised or lowered, with what was counted', () => {
    const { passed, change } = start();
    expect(passed(20, 'alice', 'llm/other')).toBe(10);
    change(document.replace('limit: 10', 'limit: 13'));
    expect(passed(20, 'alice', 'llm/other')).toBe(3);
    change(document.replace('limit: 10', 'limit: 4'));
    expect(passed(20, 'alice', 'llm/other')).toBe(0);
  });

  it('are told window by window, with a limit for each', async () => {
    const { ask } = start();
    const answer = await ask('alice', 'llm/big-one', { groups: ['team-a'] });
    expect(Object.fromEntries(rateLimitHeaders(answer.windows ?? []))).toEqual({
      'ratelimit-policy':
        '"requests-2m";q=10;w=120, "requests-1m-llm/big-*";q=6;w=60, "requests-1d-team";q=12;w=86400',
      ratelimit: '"requests-2m";r=7;t=120, "requests-1m-llm/big-*";r=3;t=60, "requests-1d-team";r=9;t=86400',
      'x-ratelimit-limit-requests': '6',
      'x-ratelimit-remaining-requests': '3',
      'x-ratelimit-reset-requests': '1m0s',
    });
  });
});

describe('limits of a team', () => {
  it('are one counter for all its members, and none for others', async () => {
    const { ask, passed } = start();
    expect(passed(8, 'alice', 'llm/other', { groups: ['team-a', 'gold'] })).toBe(8);
    expect(passed(8, 'bob', 'llm/other', { groups: ['team-a'] })).toBe(4);
    expect(await ask('bob', 'llm/other', { groups: ['team-a'] })).toMatchObject({
      reason: 'requests_exceeded',
      detail: 'The limit of your team is used up for now.',
      retryAfterMs: 86_400_000,
    });
    expect(passed(8, 'carol', 'llm/other', { groups: ['team-b'] })).toBe(8);
    expect(passed(8, 'dave', 'llm/other')).toBe(8);
  });

  it('take nothing from a member whom the team denies, nor from the team what a member is denied', async () => {
    const { ask, passed, claims, settlements } = start();
    const groups = ['team-a'];
    passed(10, 'alice', 'llm/other', { groups });
    // Her own are used up, the team has two left: they stay.
    expect(await ask('alice', 'llm/other', { groups })).toMatchObject({
      windows: [
        { window: { scope: '*' }, remaining: 0 },
        { window: { scope: 'team' }, remaining: 2 },
      ],
    });
    expect(passed(5, 'bob', 'llm/other', { groups })).toBe(2);
    // The team's are used up now: what bob was denied with it was given back to him.
    expect(passed(20, 'bob', 'llm/other')).toBe(8);
    expect(settlements.length).toBe(1 + 3);
    expect(settlements.every(({ used }) => used === 'nothing')).toBe(true);
    expect(claims.every(({ id }, at) => at > 24 || id !== '')).toBe(true);
  });

  it('do not name a team by what could be a user', () => {
    const { ask, claims } = start();
    void ask('team-a', 'llm/llama', { groups: ['team-a'] });
    const subjects = claims.map(({ subject }) => subject);
    expect(new Set(subjects).size).toBe(3);
    expect(subjects.slice(1).every((subject) => subject.startsWith('\u0000'))).toBe(true);
  });
});

describe('the capacity of a model', () => {
  it('is shared by whoever asks, and has a reason of its own', () => {
    const { ask, passed } = start();
    expect(passed(10, 'alice')).toBe(10);
    expect(passed(10, 'bob')).toBe(5);
    expect(ask('bob')).toMatchObject({
      reason: 'capacity_exceeded',
      detail: 'The model takes no more requests for now.',
      retryAfterMs: 60_000,
    });
    expect(passed(10, 'bob', 'llm/other')).toBe(5);
  });

  it('counts requests, whatever they weigh in a tier', () => {
    const { passed } = start(
      document.replace('"llm/big-*"', '"llm/llama"').replace('limit: 6', 'limit: 600'),
    );
    expect(['a', 'b', 'c', 'd', 'e', 'f'].map((user) => passed(9, user)).join()).toBe('3,3,3,3,3,0');
  });
});

describe('a claim on several counters', () => {
  it('is charged once when it comes again, on each of them', () => {
    const { ask, passed } = start();
    for (let retry = 0; retry < 5; retry += 1) {
      expect(ask('alice', 'llm/llama', { groups: ['team-a'], id: 'same' })).toHaveProperty('windows');
    }
    expect(passed(20, 'alice', 'llm/llama', { groups: ['team-a'] })).toBe(9);
  });

  it('is denied when it comes again after it was denied in part, though there is room by now', () => {
    const { ask, passed, clock } = start(document.replace('15, window: 1m', '15, window: 30s'));
    expect(passed(10, 'alice')).toBe(10);
    expect(passed(5, 'bob')).toBe(5);
    expect(ask('bob', 'llm/llama', { id: 'late' })).toMatchObject({ reason: 'capacity_exceeded' });
    clock.advance(32_000);
    expect(ask('bob', 'llm/llama', { id: 'late' })).toMatchObject({ denied: true });
    expect(ask('bob', 'llm/llama', { id: 'new' })).not.toHaveProperty('denied');
  });

  it('waits for the latest that may be needed, and names no time where one never fits', () => {
    const text = document.replace('requests: [{limit: 15', 'requests: [{limit: 1');
    const { ask } = start(text);
    void ask('alice');
    expect(ask('alice')).toMatchObject({ reason: 'capacity_exceeded', retryAfterMs: 60_000 });
  });

  it('is taken back everywhere when one side can not tell, which nobody denies', async () => {
    const outage = new DependencyError('redis', 'unreachable');
    let isDown = false;
    const { ask, passed, settlements } = start(document, (consume) => (claim) => {
      if (isDown && claim.subject.includes('group')) throw outage;
      return consume(claim);
    });
    isDown = true;
    const groups = ['team-a'];
    expect(await ask('alice', 'llm/other', { groups })).toMatchObject({
      reason: 'limit_unavailable',
      cause: outage,
    });
    expect(settlements.map(({ subject }) => subject)).toEqual(['alice', '\u0000group:team-a']);
    isDown = false;
    expect(passed(20, 'alice', 'llm/other')).toBe(10);
  });

  it('is a denial where one side denies and another can not tell', async () => {
    const { ask, passed } = start(document, (consume) => (claim) => {
      if (claim.subject.includes('group')) return Promise.reject(new DependencyError('redis', 'timeout'));
      return consume(claim);
    });
    expect(passed(10, 'alice', 'llm/other')).toBe(10);
    expect(await ask('alice', 'llm/other', { groups: ['team-a'] })).toMatchObject({
      reason: 'requests_exceeded',
    });
  });

  it('does not wait for anything where nothing has to be waited for', () => {
    const { ask } = start();
    expect(ask('alice', 'llm/llama', { groups: ['team-a'] })).not.toBeInstanceOf(Promise);
  });
});
