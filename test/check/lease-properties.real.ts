import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { MemoryCounters } from '../../src/check/memory-consume.ts';
import {
  findLeaseViolation,
  type LeaseEvent,
  steadyLeases,
  steppedLeases,
  type Wiring,
} from './lease-oracle.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms);

const property = (scenarios: fc.Arbitrary<readonly LeaseEvent[]>, wiring: Wiring = {}) =>
  fc.asyncProperty(scenarios, async (events) => {
    expect(await findLeaseViolation(events, advance, wiring)).toBeUndefined();
  });

/** On a machine that is busy otherwise. */
const timeout = { timeout: 60_000 };
const runs = { numRuns: 25 };

describe(
  'any interleaving of requests at three processes, crashes, lost replies and returns',
  timeout,
  () => {
    it('never passes more than the limit in any window', async () => {
      await fc.assert(property(steadyLeases), runs);
    });

    it('never passes more when the store’s clock is set back and forward, by more than a window too', async () => {
      await fc.assert(property(steppedLeases), runs);
    });
  },
);

const withBlocks =
  (change: (right: MemoryCounters) => MemoryCounters['takeBlock']): Wiring['counters'] =>
  (right) => ({ ...right, takeBlock: change(right) });

/** Each is a mistake that is easy to make. */
const mutants: Readonly<Record<string, Wiring>> = {
  'a lease stamped when it is taken': {
    counters: withBlocks((right) => (claim) => ({
      ...right.takeBlock({ ...claim, aheadMs: 0 }),
      goodForMs: 1000,
    })),
  },
  'a lease that outlives its slot': {
    counters: withBlocks((right) => (claim) => ({ ...right.takeBlock(claim), goodForMs: 2000 })),
  },
  'a lease by a clock that runs slow': { pace: 0.25 },
  'a lease that goes back whole': {
    counters: (right) => ({
      ...right,
      settle: (settlement) => right.settle({ ...settlement, used: 'nothing' }),
    }),
  },
  'a lease that costs one request': {
    counters: withBlocks(
      (right) => (claim) =>
        right.takeBlock({ ...claim, charges: claim.charges.map(({ window }) => ({ window, cost: 1 })) }),
    ),
  },
};

describe('the property test', timeout, () => {
  it.each(Object.entries(mutants))('catches %s', async (name, wiring) => {
    const options = { seed: 20_261_122, numRuns: 300, endOnFailure: true };
    const found =
      (await fc.check(property(steadyLeases, wiring), options)).failed ||
      (await fc.check(property(steppedLeases, wiring), options)).failed;
    expect([name, found]).toEqual([name, true]);
  });
});
