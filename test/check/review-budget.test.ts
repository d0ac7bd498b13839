import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type BudgetRefusal,
  createReviewBudget,
  isOverBudget,
  type ReviewBudgetOptions,
} from '../../src/check/review-budget.ts';
import { DependencyError } from '../../src/dependency-error.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function setUp(options: Partial<ReviewBudgetOptions> = {}) {
  const refusals: BudgetRefusal[] = [];
  const asked: string[] = [];
  const answers: (() => void)[] = [];
  const budget = createReviewBudget({
    concurrency: 64,
    perSecond: 1000,
    perSourcePerSecond: 1000,
    queue: 1000,
    maxWaitMs: 2000,
    now: Date.now,
    observe: (refusal) => refusals.push(refusal),
    ...options,
  });
  /** What came of it: the answer, or what was spent. */
  async function ask(source: string, name = source): Promise<string> {
    try {
      return await budget.spend(source, () => {
        asked.push(name);
        return new Promise((resolve) => answers.push(() => resolve(name)));
      });
    } catch (error) {
      if (!isOverBudget(error)) throw error;
      return `spent, again in ${error.retryAfterMs} ms`;
    }
  }
  return {
    budget,
    refusals,
    asked,
    ask,
    answerNext: async () => {
      answers.shift()?.();
      await vi.advanceTimersByTimeAsync(0);
    },
  };
}

const spent = 'spent, again in 1000 ms';

describe('a budget of questions', () => {
  it('has no more under way than it may, and lets the next in when one is answered', async () => {
    const { budget, asked, ask, answerNext } = setUp({ concurrency: 2 });
    const all = ['a', 'b', 'c', 'd'].map((name) => ask(name));
    expect({ asked: [...asked], inFlight: budget.inFlight(), queued: budget.queued() }).toEqual({
      asked: ['a', 'b'],
      inFlight: 2,
      queued: 2,
    });
    for (let count = 0; count < 4; count += 1) await answerNext();
    expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd']);
    expect([budget.inFlight(), budget.queued()]).toEqual([0, 0]);
  });

  it('serves those who wait source by source in turn', async () => {
    const { asked, ask, answerNext } = setUp({ concurrency: 1 });
    for (const name of ['flood-1', 'flood-2', 'flood-3', 'flood-4']) void ask('flood', name);
    void ask('other');
    for (let count = 0; count < 5; count += 1) await answerNext();
    expect(asked).toEqual(['flood-1', 'flood-2', 'other', 'flood-3', 'flood-4']);
  });

  it('takes the room for another source from the one that has most in the queue', async () => {
    const { refusals, ask, answerNext } = setUp({ concurrency: 1, queue: 3 });
    void ask('first');
    const flood = ['1', '2', '3', '4'].map((name) => ask('flood', name));
    const other = ask('other');
    expect(await flood[3]).toBe(spent);
    expect(await flood[2]).toBe(spent);
    for (let count = 0; count < 4; count += 1) await answerNext();
    expect(await other).toBe('other');
    expect(await Promise.all(flood.slice(0, 2))).toEqual(['1', '2']);
    expect(refusals).toEqual(['queue', 'queue']);
  });

  it('refuses a source at once that has had its share, and no other', async () => {
    const { refusals, asked, ask } = setUp({ perSourcePerSecond: 2 });
    void ask('flood');
    void ask('flood');
    expect(await ask('flood')).toBe(spent);
    void ask('other');
    expect(asked).toEqual(['flood', 'flood', 'other']);
    expect(refusals).toEqual(['source']);
    await vi.advanceTimersByTimeAsync(500);
    void ask('flood');
    expect(asked).toHaveLength(4);
  });

  it('asks no more a second than it may, and the rest when their time comes', async () => {
    const { asked, ask } = setUp({ perSecond: 10, concurrency: 1000, maxWaitMs: 10_000 });
    for (let count = 0; count < 30; count += 1) void ask('a');
    expect(asked).toHaveLength(10);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked.length).toBeGreaterThanOrEqual(19);
    expect(asked.length).toBeLessThanOrEqual(20);
    await vi.advanceTimersByTimeAsync(1300);
    expect(asked).toHaveLength(30);
  });

  it('lets nobody wait longer than it may', async () => {
    const { budget, refusals, ask } = setUp({ concurrency: 1, maxWaitMs: 300 });
    void ask('a');
    const waiting = ask('b');
    await vi.advanceTimersByTimeAsync(300);
    expect(await waiting).toBe(spent);
    expect(refusals).toEqual(['wait']);
    expect(budget.queued()).toBe(0);
  });

  it('gives back the place of a question that failed, and passes its fault on', async () => {
    const { budget } = setUp({ concurrency: 1 });
    const outage = new DependencyError('kubernetes', 'overloaded');
    await expect(budget.spend('a', () => Promise.reject(outage))).rejects.toBe(outage);
    expect(isOverBudget(outage)).toBe(false);
    expect(budget.inFlight()).toBe(0);
  });

  it.each([
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff::9', true],
    ['2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['::1', '::2', true],
    ['10.0.0.1', '10.0.0.2', false],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.2', false],
  ])('takes %s and %s for one source: %s', async (one, other, isSame) => {
    const { ask, asked } = setUp({ perSourcePerSecond: 1 });
    void ask(one);
    void ask(other);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toHaveLength(isSame ? 1 : 2);
  });
});
