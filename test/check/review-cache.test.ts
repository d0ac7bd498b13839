import { describe, expect, it } from 'vitest';
import { type Denied, denied } from '../../src/check/outcome.ts';
import { type CacheEvent, createReviewCache, type ReviewCacheOptions } from '../../src/check/review-cache.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { createReviewBudget } from '../../src/check/review-budget.ts';
import { createManualClock } from '../support/manual-clock.ts';

interface Yes {
  readonly name: string;
}

const no = denied('token_rejected', 'no');
const outage = new DependencyError('kubernetes', 'unreachable');

function setUp(options: Partial<ReviewCacheOptions<Yes>> = {}) {
  const clock = createManualClock();
  const events: CacheEvent[] = [];
  const cache = createReviewCache<Yes>({
    maxEntries: 100,
    maxDenials: 10,
    ttlMs: () => 60_000,
    denialTtlMs: 2000,
    staleMs: () => 300_000,
    random: () => 0,
    now: clock.now,
    observe: (event) => events.push(event),
    ...options,
  });
  return { cache, clock, events };
}

/** A review that is answered by hand. */
function manualReview() {
  const flights: { answer: (answer: Yes | Denied) => void; fail: (error: Error) => void }[] = [];
  const review = () =>
    new Promise<Yes | Denied>((resolve, reject) => flights.push({ answer: resolve, fail: reject }));
  return { review, flights };
}

describe('a review cache', () => {
  it('asks once for concurrent questions', async () => {
    const { cache, events } = setUp();
    const { review, flights } = manualReview();
    const answers = Array.from({ length: 50 }, async () => cache.ask('k', review));
    expect(flights).toHaveLength(1);
    flights[0]?.answer({ name: 'alice' });
    expect(new Set(await Promise.all(answers))).toEqual(new Set([{ name: 'alice' }]));
    expect(events.filter((event) => event === 'coalesced')).toHaveLength(49);
  });

  it('answers at once what it knows, until it ran out', async () => {
    const { cache, clock } = setUp();
    await cache.ask('k', () => Promise.resolve({ name: 'alice' }));
    expect(cache.ask('k', () => Promise.reject(new Error('asked')))).toEqual({ name: 'alice' });
    clock.advance(59_999);
    expect(cache.recall('k')).toEqual({ name: 'alice' });
    clock.advance(1);
    expect(cache.recall('k')).toBeUndefined();
  });

  it('shortens a yes by at most a tenth', async () => {
    const { cache, clock } = setUp({ random: () => 0.999 });
    await cache.ask('k', () => Promise.resolve({ name: 'alice' }));
    clock.advance(54_000);
    expect(cache.recall('k')).toEqual({ name: 'alice' });
    clock.advance(100);
    expect(cache.recall('k')).toBeUndefined();
  });

  it('remembers a no shortly, in a store of its own', async () => {
    const { cache, clock } = setUp({ maxEntries: 1 });
    await cache.ask('good', () => Promise.resolve({ name: 'alice' }));
    for (let index = 0; index < 50; index += 1) await cache.ask(`bad-${index}`, () => Promise.resolve(no));
    expect(cache.recall('good')).toEqual({ name: 'alice' });
    expect(cache.recall('bad-49')).toBe(no);
    expect(cache.recall('bad-0')).toBeUndefined();
    clock.advance(2000);
    expect(cache.recall('bad-49')).toBeUndefined();
  });

  it('never remembers a fault', async () => {
    const { cache } = setUp();
    await expect(cache.ask('k', () => Promise.reject(outage))).rejects.toBe(outage);
    expect(await cache.ask('k', () => Promise.resolve({ name: 'alice' }))).toEqual({ name: 'alice' });
  });

  it('does not remember a yes without a lifetime', async () => {
    const { cache } = setUp({ ttlMs: () => 0 });
    await cache.ask('k', () => Promise.resolve({ name: 'alice' }));
    expect(cache.recall('k')).toBeUndefined();
  });

  it('serves a yes that ran out while nobody can tell, to its stated end, without waiting', async () => {
    const { cache, clock, events } = setUp();
    await cache.ask('k', () => Promise.resolve({ name: 'alice' }));
    clock.advance(60_000);
    expect(await cache.ask('k', () => Promise.reject(outage))).toEqual({ name: 'alice' });
    const { review, flights } = manualReview();
    expect(cache.ask('k', review)).toEqual({ name: 'alice' });
    expect(events).toContain('stale');
    flights[0]?.fail(outage);
    await Promise.resolve();
    clock.advance(300_000);
    await expect(cache.ask('k', () => Promise.reject(outage))).rejects.toBe(outage);
  });

  it('takes the first answer after an outage, also a no', async () => {
    const { cache, clock } = setUp();
    await cache.ask('k', () => Promise.resolve({ name: 'alice' }));
    clock.advance(60_000);
    await cache.ask('k', () => Promise.reject(outage));
    const { review, flights } = manualReview();
    expect(cache.ask('k', review)).toEqual({ name: 'alice' });
    flights[0]?.answer(no);
    await new Promise(setImmediate);
    expect(cache.recall('k')).toBe(no);
    expect(cache.recallStale('k')).toBeUndefined();
  });

  it('serves nothing stale when the dependency refused us', async () => {
    const { cache, clock } = setUp();
    const refusal = new DependencyError('kubernetes', 'misconfigured');
    await cache.ask('k', () => Promise.resolve({ name: 'alice' }));
    clock.advance(60_000);
    await expect(cache.ask('k', () => Promise.reject(refusal))).rejects.toBe(refusal);
    expect(cache.recallStale('k')).toBeUndefined();
  });

  it('serves nothing stale where an answer has no stale time', async () => {
    const { cache, clock } = setUp({ staleMs: () => 0 });
    await cache.ask('k', () => Promise.resolve({ name: 'alice' }));
    clock.advance(60_000);
    await expect(cache.ask('k', () => Promise.reject(outage))).rejects.toBe(outage);
  });

  it('forgets what is told, and does not remember an answer that was asked for before', async () => {
    const { cache } = setUp();
    const { review, flights } = manualReview();
    await cache.ask('a', () => Promise.resolve({ name: 'alice' }));
    await cache.ask('b', () => Promise.resolve({ name: 'bob' }));
    const late = cache.ask('late', review);
    cache.forget((key) => key !== 'b');
    flights[0]?.answer({ name: 'alice' });
    expect(await late).toEqual({ name: 'alice' });
    expect(cache.recall('a')).toBeUndefined();
    expect(cache.recall('late')).toBeUndefined();
    expect(cache.recall('b')).toEqual({ name: 'bob' });
  });

  it('asks anew after it was told to forget, though an older question is still under way', async () => {
    const { cache } = setUp();
    const { review, flights } = manualReview();
    const before = cache.ask('k', review);
    cache.forget(() => true);
    const after = cache.ask('k', review);
    flights[1]?.answer(no);
    expect(await after).toBe(no);
    flights[0]?.answer({ name: 'alice' });
    expect(await before).toEqual({ name: 'alice' });
    expect(cache.recall('k')).toBe(no);
  });

  it('does not let a question that is given up late undo what a newer one has told', async () => {
    const { cache, clock } = setUp();
    const { review, flights } = manualReview();
    await cache.ask('known', () => Promise.resolve({ name: 'alice' }));
    const slow = cache.ask('slow', review);
    await cache.ask('newer', () => Promise.resolve({ name: 'bob' }));
    flights[0]?.fail(outage);
    await expect(slow).rejects.toBe(outage);
    clock.advance(60_000);
    // Not served stale meanwhile: whoever asks is told what is so.
    expect(await cache.ask('known', () => Promise.resolve(no))).toBe(no);
  });

  it('forgets a no as well', async () => {
    const { cache } = setUp();
    await cache.ask('k', () => Promise.resolve(no));
    cache.forget(() => true);
    expect(cache.recall('k')).toBeUndefined();
  });

  it('asks again about what is older than it may be at the moment', async () => {
    let maxAgeMs = Number.POSITIVE_INFINITY;
    const { cache, clock } = setUp({ maxAgeMs: () => maxAgeMs });
    await cache.ask('k', () => Promise.resolve({ name: 'alice' }));
    clock.advance(20_000);
    expect(cache.recall('k')).toEqual({ name: 'alice' });
    maxAgeMs = 10_000;
    expect(cache.recall('k')).toBeUndefined();
    expect(await cache.ask('k', () => Promise.reject(outage))).toEqual({ name: 'alice' });
  });

  it('does not take a spent budget for an outage: who may be asked about is still waited for', async () => {
    const { cache, clock } = setUp();
    await cache.ask('known', () => Promise.resolve({ name: 'alice' }));
    await cache.ask('other', () => Promise.resolve({ name: 'bob' }));
    clock.advance(60_000);
    const spent = createReviewBudget({
      concurrency: 1,
      perSecond: 1,
      perSourcePerSecond: 1,
      queue: 0,
      maxWaitMs: 1,
      now: clock.now,
      observe: () => undefined,
    });
    await spent.spend('a', () => Promise.resolve());
    // Its own token is served stale; whoever has a budget left gets a fresh answer.
    expect(await cache.ask('known', () => spent.spend('a', () => Promise.resolve(no)))).toEqual({
      name: 'alice',
    });
    expect(await cache.ask('other', () => Promise.resolve(no))).toBe(no);
  });

  it('remembers an answer though something else was forgotten meanwhile', async () => {
    const { cache } = setUp();
    const { review, flights } = manualReview();
    const asked = cache.ask('kept', review);
    cache.forget((key) => key === 'other');
    flights[0]?.answer({ name: 'alice' });
    await asked;
    expect(cache.recall('kept')).toEqual({ name: 'alice' });
  });

  it('does not live longer because a clock was set back', async () => {
    const { cache, clock } = setUp();
    await cache.ask('k', () => Promise.resolve({ name: 'alice' }));
    clock.advance(-3_600_000);
    expect(cache.recall('k')).toBeUndefined();
    expect(cache.recallStale('k')).toBeUndefined();
  });

  it('goes on without waiting in an outage, though a denial needed nobody to be asked', async () => {
    const { cache, clock } = setUp();
    await cache.ask('k', () => Promise.resolve({ name: 'alice' }));
    clock.advance(60_000);
    await cache.ask('k', () => Promise.reject(outage));
    await cache.ask('forged', () => Promise.resolve(no));
    expect(cache.ask('k', () => new Promise(() => undefined))).toEqual({ name: 'alice' });
  });

  it('holds no more than it may, and says what it pushes out', async () => {
    const { cache, events } = setUp({ maxEntries: 2 });
    for (const name of ['a', 'b', 'c']) await cache.ask(name, () => Promise.resolve({ name }));
    expect(cache.size()).toBe(2);
    expect(events.filter((event) => event === 'evicted')).toHaveLength(1);
  });
});
