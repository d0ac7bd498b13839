import { createMemorySlots } from '../../src/check/memory-slots.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { describeSlots } from './slots.contract.ts';

describeSlots('in memory', async () => {
  const { now, advance } = createManualClock();
  const leaseMs = 60_000;
  return {
    slots: createMemorySlots({ now, leaseMs }),
    now,
    wait: async (ms) => advance(ms),
    leaseMs,
    stop: async () => undefined,
  };
});
