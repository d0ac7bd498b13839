import { describe, expect, it } from 'vitest';
import {
  type AccessGranted,
  type AccessQuestion,
  createCheckAccess,
  namespaceOfAccess,
} from '../../src/check/access.ts';
import { denied, isDenied } from '../../src/check/outcome.ts';
import type { Principal } from '../../src/check/principal.ts';
import { createKeepPrincipal } from '../../src/check/keep-principal.ts';
import { type CacheEvent, createReviewCache, type ReviewCacheOptions } from '../../src/check/review-cache.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { createManualClock } from '../support/manual-clock.ts';

const alice: Principal = {
  username: 'alice',
  uid: 'u1',
  groups: ['g1', 'g2'],
  extra: { 'authentication.kubernetes.io/credential-id': ['JTI=1'], 'example.com/org': ['o'] },
};
const llama = { namespace: 'llm', name: 'llama', id: 'llm/llama' };
const qwen = { namespace: 'llm', name: 'qwen', id: 'llm/qwen' };

function setUp(extraKeys: readonly string[] = [], options: Partial<ReviewCacheOptions<AccessGranted>> = {}) {
  const clock = createManualClock();
  const asked: AccessQuestion[] = [];
  const events: CacheEvent[] = [];
  let fault: Error | 'hang' | undefined;
  const cache = createReviewCache<AccessGranted>({
    maxEntries: 100,
    maxDenials: 100,
    ttlMs: () => 60_000,
    denialTtlMs: 5000,
    staleMs: () => 300_000,
    random: () => 0,
    now: clock.now,
    observe: (event) => events.push(event),
    ...options,
  });
  const checkAccess = createCheckAccess({
    authorize: (question) => {
      asked.push(question);
      if (fault === 'hang') return new Promise(() => undefined);
      if (fault !== undefined) return Promise.reject(fault);
      return Promise.resolve(
        question.name === 'llama' ? { namespace: question.namespace } : denied('model_forbidden', 'no'),
      );
    },
    spend: (_source, review) => review(),
    cache,
    extraKeys,
    now: clock.now,
  });
  return {
    asked,
    events,
    clock,
    cache,
    failWith: (next: typeof fault) => {
      fault = next;
    },
    reason: async (principal: Principal, model = llama, withinMs = 1000) => {
      const answer = await checkAccess(principal, model, {
        source: '127.0.0.1',
        deadlineAtMs: clock.now() + withinMs,
      });
      return isDenied(answer) ? answer.reason : 'passed';
    },
  };
}

describe('access to a model', () => {
  it('is asked about once for a principal and a model', async () => {
    const { asked, reason } = setUp();
    await Promise.all(Array.from({ length: 50 }, () => reason({ ...alice })));
    expect(asked).toEqual([
      { user: 'alice', uid: 'u1', groups: ['g1', 'g2'], extra: {}, namespace: 'llm', name: 'llama' },
    ]);
    expect(await reason(alice, qwen)).toBe('model_forbidden');
    expect(asked).toHaveLength(2);
  });

  it.each([
    ['user', { username: 'bob' }],
    ['uid', { uid: 'u2' }],
    ['groups', { groups: ['g1'] }],
    ['boundary of groups', { groups: ['g1","g2'] }],
  ])('of another %s is another question', async (_name, change) => {
    const { asked, reason } = setUp();
    await reason(alice);
    await reason({ ...alice, ...change });
    expect(asked).toHaveLength(2);
  });

  it('is the same question for every token of a person, unless an extra key is configured', async () => {
    const second = {
      ...alice,
      extra: { ...alice.extra, 'authentication.kubernetes.io/credential-id': ['JTI=2'] },
    };
    const plain = setUp();
    await plain.reason(alice);
    await plain.reason(second);
    expect(plain.asked).toHaveLength(1);
    const configured = setUp(['example.com/org']);
    await configured.reason(alice);
    await configured.reason({ ...alice, extra: { 'example.com/org': ['other'] } });
    expect(configured.asked.map(({ extra }) => extra)).toEqual([
      { 'example.com/org': ['o'] },
      { 'example.com/org': ['other'] },
    ]);
  });

  it('remembers a yes and a no for times of their own', async () => {
    const { asked, reason, clock } = setUp();
    await reason(alice);
    await reason(alice, qwen);
    clock.advance(5000);
    await reason(alice);
    await reason(alice, qwen);
    expect(asked.map(({ name }) => name)).toEqual(['llama', 'qwen', 'qwen']);
    clock.advance(55_000);
    await reason(alice);
    expect(asked).toHaveLength(4);
  });

  it('goes on through an outage to a stated end; a no does not', async () => {
    const { reason, clock, failWith } = setUp();
    await reason(alice);
    await reason(alice, qwen);
    failWith(new DependencyError('kubernetes', 'failed'));
    clock.advance(60_000);
    expect(await reason(alice)).toBe('passed');
    expect(await reason(alice, qwen)).toBe('access_unavailable');
    clock.advance(300_000);
    expect(await reason(alice)).toBe('access_unavailable');
  });

  it('answers by the deadline of the check', async () => {
    const { reason, failWith } = setUp();
    failWith('hang');
    expect(await reason(alice, llama, 10)).toBe('access_unavailable');
  });

  it('is asked about again after a change of RBAC in its namespace', async () => {
    const { asked, reason, cache } = setUp();
    await reason(alice);
    cache.forget((key) => namespaceOfAccess(key) === 'other');
    await reason(alice);
    expect(asked).toHaveLength(1);
    cache.forget((key) => namespaceOfAccess(key) === 'llm');
    await reason(alice);
    expect(asked).toHaveLength(2);
  });
});

describe('a verdict that a remembered principal keeps at hand', () => {
  const remembered = (): Principal => createKeepPrincipal([])({ ...alice });

  it('needs no look-up while it holds, and counts as a hit', async () => {
    const { cache, events, reason } = setUp();
    const person = remembered();
    for (let time = 0; time < 3; time += 1) expect(await reason(person)).toBe('passed');
    expect(person.grant).toBe(cache.keep(`llm/llama ${person.askedAs}`));
    expect(events).toEqual(['miss', 'hit', 'hit']);
  });

  it('ends when it is forgotten, for every principal that keeps it', async () => {
    const { asked, cache, reason } = setUp();
    const tokens = [remembered(), remembered()];
    for (const token of [...tokens, ...tokens]) await reason(token);
    expect(asked).toHaveLength(1);
    cache.forget((key) => key.startsWith('llm/'));
    for (const token of tokens) await reason(token);
    expect(asked).toHaveLength(2);
    expect(tokens[0]?.grant).toBe(tokens[1]?.grant);
  });

  it('ends in its time, and with the time that a verdict may be old at the moment', async () => {
    let maxAgeMs = Number.POSITIVE_INFINITY;
    const { asked, clock, reason } = setUp([], { maxAgeMs: () => maxAgeMs });
    const person = remembered();
    await reason(person);
    clock.advance(59_999);
    await reason(person);
    expect(asked).toHaveLength(1);
    clock.advance(1);
    await reason(person);
    expect(asked).toHaveLength(2);
    clock.advance(1000);
    maxAgeMs = 1000;
    await reason(person);
    expect(asked).toHaveLength(3);
  });

  it('is of one model alone, and never a denial', async () => {
    const { asked, cache, reason } = setUp();
    const person = remembered();
    expect(await reason(person)).toBe('passed');
    expect(await reason(person, qwen)).toBe('model_forbidden');
    expect(person.grantedModel).toBe('llm/llama');
    expect(await reason(person)).toBe('passed');
    expect(await reason(person, qwen)).toBe('model_forbidden');
    expect(asked).toHaveLength(2);
    cache.forget(() => true);
    await reason(person, qwen);
    await reason(person);
    expect(asked).toHaveLength(4);
  });

  it('is what is looked up where room gets short, so that others are pushed out before it', async () => {
    const { asked, reason } = setUp([], { maxEntries: 3 });
    const people = ['a', 'b', 'c', 'd'].map((username) =>
      createKeepPrincipal([])({ ...alice, username, uid: username }),
    );
    const [first = alice, , , last = alice] = people;
    for (const person of people.slice(0, 3)) await reason(person);
    await reason(first);
    await reason(last);
    expect(asked).toHaveLength(4);
    // Not the one that was asked for again.
    await reason(first);
    expect(asked).toHaveLength(4);
    await reason(people[1] ?? alice);
    expect(asked).toHaveLength(5);
  });
});
