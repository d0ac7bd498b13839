import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { describeReservations, reservationTtlMs } from './reservation.contract.ts';
import { describeSettle } from './settle.contract.ts';

const start = async () => {
  const clock = createManualClock();
  return {
    ...createMemoryCounters({ now: clock.now, reservationTtlMs }),
    now: clock.now,
    wait: async (ms: number) => clock.advance(ms),
    stop: async () => undefined,
  };
};

describeSettle('in memory', start);
describeReservations('in memory', start);
