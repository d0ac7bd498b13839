import { describe, expect, it } from 'vitest';
import {
  type ConcurrencyOptions,
  createCheckConcurrency,
  type SlotResult,
} from '../../src/check/concurrency.ts';
import type { Caller } from '../../src/check/limit.ts';
import { createMemorySlots } from '../../src/check/memory-slots.ts';
import { denied, isDenied } from '../../src/check/outcome.ts';
import type { SlotAnswer } from '../../src/check/slot.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { parsePolicyFile } from '../../src/policy/parse-policy.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { checkInput } from '../support/check-input.ts';

function tierOf(text: string): Caller['tier'] {
  const parsed = parsePolicyFile(text, {
    instance: 'gw',
    defaultLimits: 'unlimited',
    defaultTier: undefined,
  });
  const tier = parsed.valid ? parsed.policy.tiers[0] : undefined;
  if (tier === undefined) throw new Error(JSON.stringify(parsed));
  return tier;
}

const two = tierOf('[{name: free, groups: [f], limits: {requests: unlimited, concurrency: 2}}]');
const shadow = tierOf(
  '[{name: trial, groups: [f], mode: shadow, limits: {requests: unlimited, concurrency: 1}}]',
);
const any = tierOf('[{name: staff, groups: [f], limits: unlimited}]');

function setUp(changes: Partial<ConcurrencyOptions> = {}) {
  const clock = createManualClock();
  const slots = createMemorySlots({ now: clock.now, leaseMs: 60_000 });
  const results: SlotResult[] = [];
  const check = createCheckConcurrency({
    slots,
    checkLimit: () => ({ windows: [] }),
    now: clock.now,
    observe: (_tier, result) => results.push(result),
    ...changes,
  });
  let streams = 0;
  return {
    slots,
    results,
    clock,
    ask: (tier: Caller['tier'], more: Partial<Caller> = {}) => {
      streams += 1;
      return check({
        principal: { username: 'alice', uid: 'u', groups: ['f'], extra: {} },
        subject: 'alice',
        tier,
        model: { namespace: 'llm', name: 'llama', id: 'llm/llama' },
        id: `stream-${streams}`,
        input: checkInput(),
        deadlineAtMs: clock.now() + 100,
        ...more,
      });
    },
  };
}

describe('a limit of open requests', () => {
  it('refuses one too many, before any window is charged, and says when to ask again', async () => {
    let charged = 0;
    const { ask, results } = setUp({
      checkLimit() {
        charged += 1;
        return { windows: [] };
      },
    });
    expect(ask(two)).toMatchObject({ windows: [], slot: { id: expect.stringContaining('.') } });
    await ask(two);
    expect(ask(two)).toMatchObject({ reason: 'concurrency_exceeded', retryAfterMs: 1000 });
    expect(charged).toBe(2);
    expect(results).toEqual(['taken', 'taken', 'refused']);
  });

  it('is none where the tier has none', () => {
    const { ask, results } = setUp();
    expect(ask(any)).toEqual({ windows: [] });
    expect(results).toEqual([]);
  });

  it('only counts in a shadow tier', async () => {
    const { ask, results, slots } = setUp();
    await ask(shadow);
    expect(ask(shadow)).toMatchObject({ windows: [] });
    expect(results).toEqual(['taken', 'shadow_refused']);
    expect(slots.openOf('alice')).toBe(2);
  });

  it('has its slot back from what the windows denied, at once or later, or what was a bug', async () => {
    const no = denied('requests_exceeded', 'no');
    const bug = new Error('a bug');
    const answers = [
      () => no,
      () => Promise.resolve(no),
      () => Promise.reject(bug),
      () => {
        throw bug;
      },
    ];
    for (const checkLimit of answers) {
      const { ask, slots } = setUp({ checkLimit });
      const end = await Promise.resolve()
        .then(() => ask(two))
        .catch((error: unknown) => error);
      expect([no, bug]).toContain(end);
      expect(slots.openOf('alice')).toBe(0);
    }
  });

  it('has its slot back when the grant is not used', async () => {
    const { ask, slots } = setUp();
    const grant = await ask(two);
    if (isDenied(grant)) throw new Error(grant.reason);
    expect(slots.openOf('alice')).toBe(1);
    grant.slot?.giveBack();
    grant.slot?.giveBack();
    expect(slots.openOf('alice')).toBe(0);
  });

  it('counts a request that is asked about again as one', () => {
    const { ask } = setUp();
    const ids = Array.from({ length: 5 }, () => ask(two, { id: 'stream-1' })).map((grant) =>
      grant instanceof Promise || isDenied(grant) ? undefined : grant.slot?.id,
    );
    expect(new Set(ids).size).toBe(1);
    expect(ids[0]).toBeDefined();
  });

  it('can not be told while the store is away, and says so', async () => {
    const away = new DependencyError('redis', 'unreachable');
    for (const take of [() => Promise.reject(away), thrower(away)]) {
      const { ask, results, slots } = setUp();
      const asked = setUp({ slots: { ...slots, take } });
      expect(await asked.ask(two)).toMatchObject({ reason: 'limit_unavailable', retryAfterMs: 1000 });
      expect(asked.results).toEqual(['unavailable']);
      expect(await ask(two)).toMatchObject({ windows: [] });
      expect(results).toEqual(['taken']);
    }
  });

  it('ends at the deadline, and gives back what comes after it', async () => {
    const { slots } = setUp();
    let answer: () => void = () => undefined;
    const given: unknown[] = [];
    const { ask } = setUp({
      slots: {
        ...slots,
        take: () =>
          new Promise<SlotAnswer>((resolve) => {
            answer = () => resolve({ taken: true, slot: { id: 'a.b', attempt: 1 }, open: 1 });
          }),
        giveBack: (slot) => {
          given.push(slot);
          return 'released';
        },
      },
    });
    const asked = setUp().clock.now();
    expect(await ask(two, { deadlineAtMs: asked })).toMatchObject({ reason: 'limit_unavailable' });
    expect(given).toEqual([]);
    answer();
    await expect.poll(() => given).toEqual([{ id: 'a.b', attempt: 1 }]);
  });

  it('lets pass what nobody counts, without a slot', () => {
    const { slots } = setUp();
    const { ask, results } = setUp({
      slots: { ...slots, take: () => ({ taken: true, slot: undefined, open: 0 }) },
    });
    expect(ask(two)).toEqual({ windows: [] });
    expect(results).toEqual(['uncounted']);
  });
});

function thrower(error: Error): () => never {
  return () => {
    throw error;
  };
}
