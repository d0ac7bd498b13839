import { createMemoryConsume } from '../../src/check/memory-consume.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { describeConsume } from './consume.contract.ts';

describeConsume('in memory', async () => {
  const clock = createManualClock();
  return {
    consume: createMemoryConsume({ now: clock.now }),
    now: clock.now,
    wait: async (ms) => clock.advance(ms),
    stop: async () => undefined,
  };
});
