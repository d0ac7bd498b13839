import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { describeSettle } from './settle.contract.ts';

describeSettle('in memory', async () => {
  const clock = createManualClock();
  return {
    ...createMemoryCounters({ now: clock.now }),
    now: clock.now,
    wait: async (ms) => clock.advance(ms),
    stop: async () => undefined,
  };
});
