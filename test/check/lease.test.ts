import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLeases, type Leases } from '../../src/check/lease.ts';
import type { LeaseEvent } from '../../src/check/lease-holdings.ts';
import type { Charge, Claim, Decision } from '../../src/check/limit.ts';
import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';

beforeEach(() => void vi.useFakeTimers({ now: 1_750_000_000_000 }));
afterEach(() => void vi.useRealTimers());

const window: WindowLimit = {
  scope: '*',
  unit: 'requests',
  windowMs: 60_000,
  limit: 10_000,
  mode: 'enforce',
};
const charges: readonly Charge[] = [{ window, cost: 1 }];

/** One store, as many processes as a test wants; every call to the store is a promise and is counted. */
function setUp() {
  const memory = createMemoryCounters({ now: () => Date.now(), recordTtlMs: 15_000 });
  let calls = 0;
  let ids = 0;
  let isAway = false;
  const call = async <T>(work: () => T): Promise<T> => {
    if (isAway) throw new DependencyError('redis', 'timeout');
    calls += 1;
    return work();
  };
  const events: Record<LeaseEvent, number> = { taken: 0, spent: 0, returned: 0, stranded: 0 };
  function start(): Leases {
    return createLeases({
      consume: (claim) => call(() => memory.consume(claim)),
      takeBlock: (claim) => call(() => memory.takeBlock(claim)),
      settle: (settlement) => call(() => memory.settle(settlement)),
      newId: () => `lease-${(ids += 1)}`,
      now: () => Date.now(),
      elapsed: () => Date.now(),
      onLease: (event, requests) => (events[event] += requests),
    });
  }
  const claimOf = (more: Partial<Claim> = {}): Claim => ({
    subject: 'alice',
    id: '',
    charges,
    deadlineAtMs: Date.now() + 1000,
    ...more,
  });
  return {
    start,
    events,
    calls: () => calls,
    goAway: (away: boolean) => (isAway = away),
    claimOf,
    claim: async (leases: Leases, more: Partial<Claim> = {}): Promise<Decision> =>
      leases.consume(claimOf(more)),
    used: (subject = 'alice', of = window) => {
      const looked = memory.consume(claimOf({ subject, charges: [{ window: of, cost: 0 }] }));
      return of.limit - (looked.windows[0]?.remaining ?? 0);
    },
  };
}

type World = ReturnType<typeof setUp>;

/** A subject that is busy: so many requests, a millisecond apart. */
async function hammer(
  world: World,
  leases: Leases,
  count: number,
  more: Partial<Claim> = {},
): Promise<number> {
  let admitted = 0;
  for (let done = 0; done < count; done += 1) {
    if ((await world.claim(leases, more)).admitted) admitted += 1;
    await vi.advanceTimersByTimeAsync(1);
  }
  return admitted;
}

describe('a busy subject with a large limit', () => {
  it('passes with few calls to the store', async () => {
    const world = setUp();
    const leases = world.start();
    expect(await hammer(world, leases, 2000)).toBe(2000);
    expect(world.calls()).toBeLessThan(2000 * 0.05);
  });

  it('is answered without a promise while a block is in hand', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 20);
    const decision = leases.consume(world.claimOf());
    expect(decision).not.toBeInstanceOf(Promise);
    expect(decision).toMatchObject({ admitted: true, windows: [{ window, exceeded: false }] });
  });

  it('is told what remains for it: what is charged ahead is still its own', async () => {
    const world = setUp();
    const leases = world.start();
    const remaining: number[] = [];
    for (let count = 0; count < 50; count += 1) {
      remaining.push((await world.claim(leases)).windows[0]?.remaining ?? 0);
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(remaining).toEqual(Array.from({ length: 50 }, (_, count) => 9999 - count));
  });

  it('gets back what it did not use once it is idle', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 100);
    expect(world.used()).toBeGreaterThan(100);
    await vi.advanceTimersByTimeAsync(200);
    expect(world.used()).toBe(100);
    expect(world.events.returned).toBeGreaterThan(0);
    expect(world.events.stranded).toBe(0);
  });

  it('holds a 32nd of what remains at most', async () => {
    const world = setUp();
    const leases = world.start();
    let most = 0;
    let passed = 0;
    while ((await world.claim(leases)).admitted) {
      passed += 1;
      most = Math.max(most, (world.used() - passed) / Math.max(1, 10_000 - passed));
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(passed).toBe(10_000);
    expect(most).toBeLessThanOrEqual(1 / 32);
    expect(most).toBeGreaterThan(1 / 128);
  });

  it('passes up to the limit, not one more, from three processes', async () => {
    const world = setUp();
    const processes = [world.start(), world.start(), world.start()];
    let admitted = 0;
    for (let round = 0; round < 4200; round += 1) {
      for (const leases of processes) if ((await world.claim(leases)).admitted) admitted += 1;
      if (round % 10 === 0) await vi.advanceTimersByTimeAsync(1);
    }
    expect(admitted).toBe(10_000);
    expect(world.calls()).toBeLessThan(10_000 * 0.1);
  });

  it('shares one block among requests that come at once', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 200);
    const before = world.calls();
    const decisions = await Promise.all(Array.from({ length: 60 }, () => world.claim(leases)));
    expect(decisions.every(({ admitted }) => admitted)).toBe(true);
    expect(world.calls() - before).toBeLessThan(6);
  });
});

describe('a block', () => {
  it('is not spent once its time is over', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 100);
    const before = world.calls();
    // Time passes, and no timer of ours was run: the process was busy elsewhere.
    vi.setSystemTime(Date.now() + 2001);
    expect(leases.consume(world.claimOf())).toBeInstanceOf(Promise);
    await vi.advanceTimersByTimeAsync(0);
    expect(world.calls()).toBeGreaterThan(before);
  });

  it('is dropped when the store may have forgotten it', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 100);
    leases.drop();
    expect(leases.consume(world.claimOf())).toBeInstanceOf(Promise);
    expect(world.events.stranded).toBeGreaterThan(0);
    await vi.advanceTimersByTimeAsync(200);
    expect(world.events.taken).toBe(world.events.spent + world.events.returned + world.events.stranded);
  });

  it('goes back at the end of the process, which takes none any more', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 100);
    await leases.close();
    expect(world.used()).toBe(100);
    expect(await hammer(world, leases, 10)).toBe(10);
    expect(world.used()).toBe(110);
  });

  it('is stranded when the store can not be told', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 100);
    world.goAway(true);
    await vi.advanceTimersByTimeAsync(200);
    expect(world.events.stranded).toBeGreaterThan(0);
    expect(world.events.returned).toBe(0);
  });

  it('that can not be taken fails the requests that wait for it', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 20);
    leases.drop();
    world.goAway(true);
    const waiting = await Promise.allSettled([world.claim(leases), world.claim(leases)]);
    expect(waiting.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    world.goAway(false);
    expect((await world.claim(leases)).admitted).toBe(true);
  });
});

describe('no block is taken', () => {
  const callsFor = async (of: readonly Charge[], gapMs = 1): Promise<number> => {
    const world = setUp();
    const leases = world.start();
    for (let count = 0; count < 50; count += 1) {
      await world.claim(leases, { charges: of });
      await vi.advanceTimersByTimeAsync(gapMs);
    }
    return world.calls();
  };

  it.each<readonly [string, readonly Charge[]]>([
    ['a small limit', [{ window: { ...window, limit: 63 }, cost: 1 }]],
    ['a window with short slots', [{ window: { ...window, windowMs: 9999 }, cost: 1 }]],
    ['a window of tokens', [...charges, { window: { ...window, unit: 'tokens' }, cost: 5 }]],
    [
      'a shadow window',
      [...charges, { window: { ...window, windowMs: 3_600_000, mode: 'shadow' }, cost: 1 }],
    ],
    ['requests that weigh much', [{ window, cost: 200 }]],
  ])('for %s', async (_what, of) => {
    expect(await callsFor(of)).toBe(50);
  });

  it('for a subject that is not busy', async () => {
    expect(await callsFor(charges, 150)).toBe(50);
  });
});

describe('a denial', () => {
  const small: readonly Charge[] = [{ window: { ...window, limit: 5 }, cost: 1 }];

  it('is remembered for a second, with what is left of its time', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 5, { charges: small });
    const first = await world.claim(leases, { charges: small });
    const calls = world.calls();
    await vi.advanceTimersByTimeAsync(900);
    const denied = await world.claim(leases, { charges: small });
    expect(denied).toEqual({ ...first, admitted: false, retryAfterMs: (first.retryAfterMs ?? 0) - 900 });
    expect(world.calls()).toBe(calls);
    await vi.advanceTimersByTimeAsync(100);
    await world.claim(leases, { charges: small });
    expect(world.calls()).toBe(calls + 1);
  });

  it('is forgotten when the limit changes', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 6, { charges: small });
    const raised = [{ window: { ...window, limit: 6 }, cost: 1 }];
    expect((await world.claim(leases, { charges: raised })).admitted).toBe(true);
  });

  it('where tokens are counted is not remembered: a settlement may make room at any time', async () => {
    const world = setUp();
    const leases = world.start();
    const tokens = [{ window: { ...window, unit: 'tokens', limit: 10 } as const, cost: 10 }];
    await world.claim(leases, { id: 'a', charges: tokens });
    expect((await world.claim(leases, { id: 'b', charges: tokens })).admitted).toBe(false);
    await leases.settle({ subject: 'alice', id: 'a', used: { tokens: 0 } });
    expect((await world.claim(leases, { id: 'c', charges: tokens })).admitted).toBe(true);
  });
});

describe('a claim that comes again', () => {
  it('costs nothing more, also where it was let pass from a block', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 100);
    for (const id of ['x', 'x', 'x', 'y']) await world.claim(leases, { id });
    await vi.advanceTimersByTimeAsync(200);
    expect(world.used()).toBe(102);
  });

  it('costs nothing more while the first is under way', async () => {
    const world = setUp();
    const leases = world.start();
    const both = await Promise.all([world.claim(leases, { id: 'x' }), world.claim(leases, { id: 'x' })]);
    expect(both.map(({ admitted }) => admitted)).toEqual([true, true]);
    expect([world.used(), world.calls()]).toEqual([1, 1]);
  });

  it('at another process costs nothing more without a block, and one more with it', async () => {
    const world = setUp();
    const [one, other] = [world.start(), world.start()];
    await world.claim(one, { id: 'plain' });
    await world.claim(other, { id: 'plain' });
    expect(world.used()).toBe(1);
    await hammer(world, one, 99);
    await world.claim(one, { id: 'leased' });
    await world.claim(other, { id: 'leased' });
    await vi.advanceTimersByTimeAsync(200);
    expect(world.used()).toBe(102);
  });

  it('is asked about again when it failed or was denied', async () => {
    const world = setUp();
    const leases = world.start();
    world.goAway(true);
    await expect(world.claim(leases, { id: 'x' })).rejects.toThrow(DependencyError);
    world.goAway(false);
    expect((await world.claim(leases, { id: 'x' })).admitted).toBe(true);
    expect(world.used()).toBe(1);
  });
});

describe('a claim that is taken back', () => {
  it('gives its request back to the block, and is denied when it comes again', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 100);
    await world.claim(leases, { id: 'x' });
    const settlement = { subject: 'alice', id: 'x', used: 'nothing' } as const;
    expect(await leases.settle(settlement)).toBe('settled');
    expect(await leases.settle(settlement)).toBe('unknown');
    expect(await world.claim(leases, { id: 'x' })).toMatchObject({ admitted: false, retryAfterMs: 0 });
    await vi.advanceTimersByTimeAsync(200);
    expect(world.used()).toBe(100);
  });

  it('stays charged when two rely on it', async () => {
    const world = setUp();
    const leases = world.start();
    await hammer(world, leases, 100);
    await world.claim(leases, { id: 'x' });
    await world.claim(leases, { id: 'x' });
    expect(await leases.settle({ subject: 'alice', id: 'x', used: 'nothing' })).toBe('unknown');
    await vi.advanceTimersByTimeAsync(200);
    expect(world.used()).toBe(101);
  });

  it('without a block is the store’s to take back', async () => {
    const world = setUp();
    const leases = world.start();
    await world.claim(leases, { id: 'x' });
    expect(await leases.settle({ subject: 'alice', id: 'x', used: 'nothing' })).toBe('settled');
    expect(world.used()).toBe(0);
    expect((await world.claim(leases, { id: 'x' })).admitted).toBe(false);
  });
});
