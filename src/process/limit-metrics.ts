import { Counter, type Registry } from 'prom-client';
import type { LeaseEvent } from '../check/lease-holdings.ts';
import type { OutageAnswer } from '../check/store-outage.ts';
import type { DependencyFault } from '../dependency-error.ts';
import { type Count, createHotCounter } from './hot-metrics.ts';

export interface LimitMetrics {
  /** A claim that the counters could not decide, by what it got instead. */
  readonly withoutStore: (answer: OutageAnswer) => void;
  /** Units let pass meanwhile that the counters were told of. */
  readonly toldAfterwards: (units: number) => void;
  /** A claim that was not even sent. */
  readonly notSent: (why: DependencyFault) => void;
  /** A claim that was sent and given up: nobody can tell whether it was charged. */
  readonly perhapsCharged: () => void;
  readonly lease: (event: LeaseEvent, requests: number) => void;
}

const leaseEvents = ['taken', 'spent', 'returned', 'stranded'] as const;
const answers = ['local_admitted', 'local_denied', 'allowed', 'denied'] as const;

export function createLimitMetrics(registry: Registry): LimitMetrics {
  const withoutStore = createHotCounter({
    registry,
    name: 'tiergate_limit_without_store_total',
    help: 'Claims decided while the counters could not be asked, by what they got (onStoreUnavailable).',
  });
  const notSent = createHotCounter({
    registry,
    name: 'tiergate_redis_not_sent_total',
    help: 'Claims that were not sent to Redis, by why.',
  });
  const perhapsCharged = createHotCounter({
    registry,
    name: 'tiergate_redis_perhaps_charged_total',
    help: 'Claims that were given up after they were sent: they may have been charged.',
  });
  const told = new Counter({
    name: 'tiergate_limit_told_units_total',
    help: 'Units let pass while the counters were away, of which they were told afterwards.',
    registers: [registry],
  });
  const leased = new Counter({
    name: 'tiergate_lease_requests_total',
    help: 'Requests charged ahead of need (taken), and what became of them: spent, returned, or stranded.',
    labelNames: ['event'],
    registers: [registry],
  });
  for (const event of leaseEvents) leased.inc({ event }, 0);
  const leases = new Counter({
    name: 'tiergate_leases_total',
    help: 'Blocks of requests that were charged ahead of need.',
    registers: [registry],
  });
  const countByAnswer = Object.fromEntries(
    answers.map((answer) => [answer, withoutStore({ answer })]),
  ) as Record<OutageAnswer, Count>;
  const countByFault = new Map<DependencyFault, Count>();
  return {
    withoutStore: (answer) => countByAnswer[answer](),
    toldAfterwards: (units) => told.inc(units),
    notSent(why) {
      const count = countByFault.get(why) ?? notSent({ why });
      countByFault.set(why, count);
      count();
    },
    perhapsCharged: perhapsCharged({}),
    lease(event, requests) {
      if (event === 'taken') leases.inc();
      leased.inc({ event }, requests);
    },
  };
}
