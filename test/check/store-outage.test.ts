import { describe, expect, it } from 'vitest';
import type { Claim, Consume, Decision } from '../../src/check/limit.ts';
import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import { createStoreOutage, type StoreOutageOptions } from '../../src/check/store-outage.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import { createManualClock } from '../support/manual-clock.ts';

const window: WindowLimit = {
  scope: '*',
  unit: 'requests',
  windowMs: 60_000,
  limit: 20,
  mode: 'enforce',
};
const charges = [{ window, cost: 1 }];
const look = [{ window, cost: 0 }];

const away = () => {
  throw new DependencyError('redis', 'unreachable');
};

/** A store in memory that can be away, or lose its replies. */
function setUp(more: Partial<StoreOutageOptions> = {}) {
  const clock = createManualClock();
  const counters = createMemoryCounters({ now: clock.now, recordTtlMs: 600_000 });
  const memory = counters.consume;
  const answers: string[] = [];
  let told = 0;
  let ids = 0;
  const there: Consume = async (claim) => memory(claim);
  let store = there;
  const asked: Claim[] = [];
  const outage = createStoreOutage({
    store: (claim) => {
      asked.push(claim);
      return store(claim);
    },
    tell: (claim) => store(claim),
    settle: counters.settle,
    settleTokens: counters.settleTokens,
    reservationNames: counters.reservationNames,
    reservationTtlMs: 600_000,
    now: clock.now,
    processes: 1,
    onStoreUnavailable: 'local',
    newId: () => `told-${(ids += 1)}`,
    onAnswer: (answer) => answers.push(answer),
    onTold: (units) => (told += units),
    ...more,
  });
  const claim = async (claimed: Partial<Claim> = {}): Promise<Decision> =>
    outage.consume({ subject: 'alice', id: '', charges, deadlineAtMs: clock.now() + 100, ...claimed });
  return {
    clock,
    answers,
    asked,
    memory,
    claim,
    outage,
    counters,
    tellStore: outage.tellStore,
    told: () => told,
    become: (next: Consume | 'back') => (store = next === 'back' ? there : next),
    admittedOf: async (count: number, claimed: Partial<Claim> = {}) => {
      let admitted = 0;
      for (let done = 0; done < count; done += 1) if ((await claim(claimed)).admitted) admitted += 1;
      return admitted;
    },
    used: (subject = 'alice') => {
      const looked = memory({ subject, id: '', charges: look, deadlineAtMs: clock.now() });
      return 20 - (looked.windows[0]?.remaining ?? 20);
    },
  };
}

describe('while the store is there', () => {
  it('every claim is the store’s, a little before its own deadline', async () => {
    const { claim, asked, answers, clock } = setUp();
    expect(await claim()).toMatchObject({ admitted: true, windows: [{ remaining: 19 }] });
    expect(asked[0]?.deadlineAtMs).toBe(clock.now() + 95);
    expect(answers).toEqual([]);
  });

  it('a bug is no outage', async () => {
    const { claim, become } = setUp();
    become(() => {
      throw new RangeError('bug');
    });
    await expect(claim()).rejects.toThrow(RangeError);
  });
});

describe('while the store is away', () => {
  it.each<readonly [string, Consume]>([
    ['at once', away],
    ['by a promise', async () => away()],
  ])('deny fails the claim (%s)', async (_how, store) => {
    const { claim, become, answers } = setUp();
    become(store);
    await expect(claim({ onStoreUnavailable: 'deny' })).rejects.toMatchObject({ code: 'unreachable' });
    expect(answers).toEqual(['denied']);
  });

  it('allow admits, and tells of no window', async () => {
    const { claim, become, answers } = setUp();
    become(away);
    expect(await claim({ onStoreUnavailable: 'allow' })).toEqual({
      admitted: true,
      windows: [],
      retryAfterMs: undefined,
    });
    expect(answers).toEqual(['allowed']);
  });

  it('what the claim says goes before what the process says', async () => {
    const { claim, become } = setUp({ onStoreUnavailable: 'deny' });
    become(away);
    await expect(claim()).rejects.toThrow(DependencyError);
    expect((await claim({ onStoreUnavailable: 'local' })).admitted).toBe(true);
  });

  it.each([
    [1, 20],
    [3, 6],
    [20, 1],
    [400, 1],
  ])('local shares the limit among %i processes: %i each', async (processes, share) => {
    const { admittedOf, become } = setUp({ processes });
    become(away);
    expect(await admittedOf(30)).toBe(share);
  });

  it('local tells the limit of the policy, what remains of the share, and that it is one', async () => {
    const { claim, become } = setUp({ processes: 4 });
    become(away);
    expect((await claim()).windows).toEqual([
      { window, remaining: 4, resetAfterMs: 60_000, exceeded: false, isLocal: true },
    ]);
  });

  it('a request that costs more than the share passes alone', async () => {
    const { admittedOf, become } = setUp({ processes: 10 });
    become(away);
    expect(await admittedOf(3, { charges: [{ window, cost: 8 }] })).toBe(1);
  });

  it('a retry of what was let pass costs nothing more', async () => {
    const { admittedOf, become } = setUp({ processes: 10 });
    become(away);
    expect(await admittedOf(5, { id: '4711' })).toBe(5);
  });

  it('a store that comes and goes gives nobody a share anew', async () => {
    const { admittedOf, become } = setUp({ processes: 10 });
    let passed = 0;
    for (let outage = 0; outage < 5; outage += 1) {
      become(away);
      passed += await admittedOf(5);
      become('back');
      await admittedOf(1, { charges: look });
    }
    expect(passed).toBe(2);
  });
});

describe('when the store is back', () => {
  it('it is told once what was let pass meanwhile, and counts it', async () => {
    const { admittedOf, become, used, tellStore, told } = setUp({ processes: 4 });
    become(away);
    expect(await admittedOf(9)).toBe(5);
    become('back');
    expect(await tellStore()).toBe(true);
    expect(await tellStore()).toBe(true);
    expect([used(), told()]).toEqual([5, 5]);
    expect(await admittedOf(30)).toBe(15);
  });

  it('it is told by the first claim that it answers, without anybody asking', async () => {
    const { admittedOf, become, used } = setUp({ processes: 4 });
    become(away);
    await admittedOf(5);
    become('back');
    await admittedOf(1, { subject: 'bob' });
    await new Promise(setImmediate);
    expect(used()).toBe(5);
  });

  it('it is told of more than the limit holds, so that it denies for as long', async () => {
    const { admittedOf, become, used, tellStore } = setUp();
    await admittedOf(18);
    become(away);
    await admittedOf(20);
    become('back');
    await tellStore();
    expect(used()).toBe(20);
    expect(await admittedOf(5)).toBe(0);
  });

  it('it is not told of what has run out', async () => {
    const { admittedOf, become, used, tellStore, clock } = setUp();
    become(away);
    await admittedOf(5);
    clock.advance(60_000);
    await admittedOf(2);
    become('back');
    await tellStore();
    expect(used()).toBe(2);
  });

  it('it is told under the same id again when nobody knows whether it heard', async () => {
    const { admittedOf, become, used, tellStore, memory } = setUp({ processes: 4 });
    become(away);
    await admittedOf(5);
    // It is heard, and the reply is lost.
    become(async (claim) => {
      memory(claim);
      return away();
    });
    expect(await tellStore()).toBe(false);
    expect(used()).toBe(5);
    become('back');
    expect(await tellStore()).toBe(true);
    expect(used()).toBe(5);
  });

  it('it is told of many subjects, some at a time', async () => {
    const { claim, become, used, tellStore } = setUp();
    become(away);
    for (let number = 0; number < 450; number += 1) await claim({ subject: `s${number}` });
    become('back');
    const rounds: boolean[] = [];
    while (rounds.at(-1) !== true && rounds.length < 10) rounds.push(await tellStore());
    expect(rounds).toEqual([false, false, false, true]);
    expect([used('s0'), used('s449')]).toEqual([1, 1]);
  });
});

describe('tokens while the store is away', () => {
  const ofTokens: WindowLimit = { ...window, unit: 'tokens', limit: 1000 };
  const setUpTokens = (processes: number) => {
    const { outage, counters, become, clock, tellStore } = setUp({ processes });
    const tag = counters.reservationNames.tagOf('alice');
    let names = 0;
    const reserve = async (tokens: number) => {
      const name = `reservation-${(names += 1)}`;
      const counts = { tokens, inputTokens: 0, outputTokens: tokens };
      const decision = await outage.consume({
        subject: 'alice',
        id: name,
        charges: [{ window: ofTokens, cost: 1 }],
        deadlineAtMs: clock.now() + 100,
        reservation: { tokens: counts, weight: 1, tag, others: [] },
      });
      return { name, decision };
    };
    const settle = (name: string, tokens: number) =>
      outage.settleTokens({ tag, name }, { tokens, inputTokens: undefined, outputTokens: undefined });
    const left = () =>
      counters.consume({
        subject: 'alice',
        id: '',
        charges: [{ window: ofTokens, cost: 0 }],
        deadlineAtMs: clock.now(),
      }).windows[0]?.remaining;
    return { reserve, settle, left, become, tellStore, outage };
  };

  it('are reserved within this process’s share, and what was not used is usable at once', async () => {
    const { reserve, settle, become } = setUpTokens(4);
    become(away);
    const { name, decision } = await reserve(200);
    expect(decision).toMatchObject({ admitted: true, windows: [{ remaining: 50, isLocal: true }] });
    expect((await reserve(100)).decision.admitted).toBe(false);
    expect(settle(name, 20)).toBe('settled');
    expect(settle(name, 20)).toBe('unknown');
    expect((await reserve(100)).decision.admitted).toBe(true);
  });

  it('let one request pass that is greater than the share, and none that is greater than the limit', async () => {
    const { reserve, become } = setUpTokens(4);
    become(away);
    expect((await reserve(1001)).decision).toMatchObject({ admitted: false, retryAfterMs: undefined });
    expect((await reserve(900)).decision.admitted).toBe(true);
    expect((await reserve(900)).decision.admitted).toBe(false);
  });

  it('are told as they were reserved, and stay charged so', async () => {
    const { reserve, settle, left, become, tellStore } = setUpTokens(1);
    become(away);
    const { name } = await reserve(300);
    become('back');
    expect(await tellStore()).toBe(true);
    expect(left()).toBe(700);
    expect(settle(name, 20)).toBe('settled');
    expect(left()).toBe(700);
  });

  it('are settled at the store where it was asked, and in both where that was in doubt', async () => {
    const { reserve, settle, left } = setUpTokens(1);
    const { name } = await reserve(300);
    expect(settle(name, 20)).toBe('settled');
    expect(left()).toBe(980);
    // Charged there, and the reply is lost.
    const { counters, outage, become, clock } = setUp();
    become(async (claim) => {
      counters.consume(claim);
      return away();
    });
    const tag = counters.reservationNames.tagOf('bob');
    const counts = { tokens: 300, inputTokens: 0, outputTokens: 300 };
    await outage.consume({
      subject: 'bob',
      id: 'in-doubt',
      charges: [{ window: ofTokens, cost: 1 }],
      deadlineAtMs: clock.now() + 100,
      reservation: { tokens: counts, weight: 1, tag, others: [] },
    });
    const used = { tokens: 20, inputTokens: undefined, outputTokens: undefined };
    expect(outage.settleTokens({ tag, name: 'in-doubt' }, used)).toBe('settled');
    await expect.poll(() => counters.settleTokens({ tag, name: 'in-doubt' }, used)).toBe('unknown');
  });

  it('are taken back here where they were counted here', async () => {
    const { reserve, become, outage } = setUpTokens(1);
    become(away);
    const { name } = await reserve(900);
    expect(outage.settle({ subject: 'alice', id: name, used: 'nothing' })).toBe('settled');
    expect((await reserve(900)).decision.admitted).toBe(true);
  });
});
