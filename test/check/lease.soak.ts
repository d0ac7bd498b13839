import * as fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { findLeaseViolation, steadyLeases, steppedLeases } from './lease-oracle.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it.each([
  ['a clock that runs', steadyLeases],
  ['a clock that is set', steppedLeases],
])(
  'leases never pass more than the limit in any window: five thousand stories under %s',
  async (_clock, stories) => {
    await fc.assert(
      fc.asyncProperty(stories, async (events) => {
        const violation = await findLeaseViolation(events, (ms) => vi.advanceTimersByTimeAsync(ms));
        expect(violation).toBeUndefined();
      }),
      { numRuns: 5000 },
    );
  },
);
