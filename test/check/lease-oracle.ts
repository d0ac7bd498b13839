import * as fc from 'fast-check';
import { createLeases, type Leases } from '../../src/check/lease.ts';
import type { Charge } from '../../src/check/limit.ts';
import { createMemoryCounters, type MemoryCounters } from '../../src/check/memory-consume.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';

/** What happens to some processes that share a store. Times in milliseconds. */
export type LeaseEvent =
  /** Some requests at once at one process. */
  | { readonly kind: 'claim'; readonly process: number; readonly requests: number }
  /** Requests one after the other, with pauses in which nothing idles: what leases are for. */
  | { readonly kind: 'busy'; readonly process: number; readonly requests: number; readonly gapMs: number }
  /** As many at once as use the limit up. */
  | { readonly kind: 'fill'; readonly process: number }
  /** Waits until the last `fill` is a window old, give or take a little. */
  | { readonly kind: 'due'; readonly ms: number }
  /** Time passes for everybody. */
  | { readonly kind: 'wait'; readonly ms: number }
  /** The store's clock is set; no time passes. */
  | { readonly kind: 'step'; readonly ms: number }
  /** A process ends at once, with what it holds; another one starts in its place. */
  | { readonly kind: 'crash'; readonly process: number }
  /** It ends in good order. */
  | { readonly kind: 'stop'; readonly process: number }
  /** The newest request that passed there is taken back: it was denied elsewhere. */
  | { readonly kind: 'takeBack'; readonly process: number }
  /** From now on (or no longer) the replies of the store to a process are lost after it did what it was asked. */
  | { readonly kind: 'deaf'; readonly process: number; readonly isDeaf: boolean };

const processCount = 3;
const windowMs = 20_000;
const slotMs = windowMs / 20;
const limit = 400;

const process = fc.nat({ max: processCount - 1 });
const edges = [
  1,
  49,
  99,
  100,
  101,
  150,
  slotMs - 1,
  slotMs,
  1999,
  2000,
  2001,
  windowMs - slotMs,
  windowMs - 1,
  windowMs,
];

const claim = fc.record({
  kind: fc.constant('claim' as const),
  process,
  requests: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 10, max: 150 })),
});
const busyProcess = fc.record({
  kind: fc.constant('busy' as const),
  process,
  requests: fc.integer({ min: 2, max: 40 }),
  gapMs: fc.constantFrom(1, 1, 7, 40, 90),
});
const fill = fc.record({ kind: fc.constant('fill' as const), process });
const due = fc.record({ kind: fc.constant('due' as const), ms: fc.integer({ min: -1, max: 2 }) });
const wait = fc.record({
  kind: fc.constant('wait' as const),
  ms: fc.oneof(
    { arbitrary: fc.integer({ min: 1, max: 60 }), weight: 4 },
    { arbitrary: fc.constantFrom(...edges), weight: 3 },
    { arbitrary: fc.nat({ max: 2 * windowMs }), weight: 1 },
  ),
});
const step = fc.record({
  kind: fc.constant('step' as const),
  ms: fc.oneof(
    fc.integer({ min: -windowMs, max: windowMs }),
    fc.integer({ min: -10 * windowMs, max: 3 * windowMs }),
  ),
});
const fault = fc.oneof(
  fc.record({ kind: fc.constantFrom('crash' as const, 'stop' as const, 'takeBack' as const), process }),
  fc.record({ kind: fc.constant('deaf' as const), process, isDeaf: fc.boolean() }),
);

const busy = [
  { arbitrary: claim, weight: 3 },
  { arbitrary: busyProcess, weight: 6 },
  { arbitrary: fill, weight: 4 },
  { arbitrary: due, weight: 4 },
  { arbitrary: wait, weight: 5 },
  { arbitrary: fault, weight: 2 },
];
const length = { minLength: 8, maxLength: 40, size: 'max' } as const;

export const steadyLeases: fc.Arbitrary<readonly LeaseEvent[]> = fc.array(fc.oneof(...busy), length);
export const steppedLeases: fc.Arbitrary<readonly LeaseEvent[]> = fc.array(
  fc.oneof(...busy, { arbitrary: step, weight: 2 }),
  length,
);

/** What a test may replace by something wrong. */
export interface Wiring {
  readonly counters?: ((right: MemoryCounters) => MemoryCounters) | undefined;
  /** How fast the processes' own clocks run behind what they should show: 0.5 makes a second of two. */
  readonly pace?: number;
}

interface Passed {
  readonly id: string;
  readonly process: number;
  /** On the time line below; taken back when undefined. */
  atMs: number | undefined;
}

/**
 * Plays events and looks for a window that holds more than the limit, in a plain log of every request that passed.
 *
 * The log's time is what the store's clock shows to have passed: a step forward counts, as for the window itself (a clock
 * says that time has passed; nobody could tell otherwise), a step back does not. A process does not hear of a step forward
 * while it holds a block: what it lets pass from a block counts as of the time line that the block was taken in.
 */
export async function findLeaseViolation(
  events: readonly LeaseEvent[],
  advance: (ms: number) => Promise<unknown>,
  { counters: change = (right) => right, pace = 1 }: Wiring = {},
): Promise<string | undefined> {
  const startedAtMs = Date.now();
  const elapsed = () => Date.now() - startedAtMs;
  let offsetMs = 1_750_000_000_000;
  let forwardMs = 0;
  let ids = 0;
  const storeNow = () => offsetMs + elapsed();
  const store = change(createMemoryCounters({ now: storeNow }));
  const charges: readonly Charge[] = [
    { window: { scope: '*', unit: 'requests', windowMs, limit, mode: 'enforce' }, cost: 1 },
  ];
  const log: Passed[] = [];
  const deaf = new Set<number>();
  const lines = new WeakMap<WindowLimit, number>();

  const started = Array.from({ length: processCount }, (_, index) => start(index));

  function start(index: number): Leases {
    const told = async <T>(work: () => T): Promise<T> => {
      const done = work();
      if (deaf.has(index)) throw new DependencyError('store', 'timeout');
      return done;
    };
    return createLeases({
      consume: (asked) => told(() => store.consume({ ...asked, deadlineAtMs: Infinity })),
      takeBlock: (asked) =>
        told(() => {
          const block = store.takeBlock({ ...asked, deadlineAtMs: Infinity });
          // What is spent of it has this window, and so tells the time line of the block.
          const windows = block.windows.map((state) =>
            Object.assign(state, { window: onLine(state.window) }),
          );
          return { ...block, windows };
        }),
      settle: (asked) => told(() => store.settle(asked)),
      newId: () => `lease-${(ids += 1)}`,
      now: storeNow,
      elapsed: () => elapsed() * pace,
    });
  }

  function onLine(window: WindowLimit): WindowLimit {
    const ofBlock = { ...window };
    lines.set(ofBlock, forwardMs);
    return ofBlock;
  }

  async function claimAt(index: number): Promise<void> {
    const id = `request-${(ids += 1)}`;
    const leases = started[index];
    try {
      const decided = await leases?.consume({ subject: 'alice', id, charges, deadlineAtMs: Infinity });
      const [state] = decided?.windows ?? [];
      if (decided?.admitted !== true || state === undefined) return;
      log.push({ id, process: index, atMs: elapsed() + (lines.get(state.window) ?? forwardMs) });
    } catch (error) {
      if (!(error instanceof DependencyError)) throw error;
    }
  }

  function crowded(): string | undefined {
    const times = log.flatMap(({ atMs }) => (atMs === undefined ? [] : [atMs])).sort((a, b) => a - b);
    for (const [at, firstMs] of times.entries()) {
      const over = times[at + limit];
      if (over !== undefined && over - firstMs < windowMs)
        return `more than ${limit} in ${over - firstMs} ms`;
    }
    return undefined;
  }

  const claimAll = (index: number, requests: number) =>
    Promise.all(Array.from({ length: requests }, () => claimAt(index)));
  let filledAtMs = 0;

  for (const event of events) {
    switch (event.kind) {
      case 'busy':
        for (let count = 0; count < event.requests; count += 1) {
          await claimAt(event.process);
          await advance(event.gapMs);
        }
        break;
      case 'fill':
        filledAtMs = elapsed();
        await claimAll(event.process, limit + 50);
        break;
      case 'due':
        await advance(Math.max(0, filledAtMs + windowMs + event.ms - elapsed()));
        break;
      case 'wait':
        await advance(event.ms);
        break;
      case 'step':
        offsetMs += event.ms;
        forwardMs += Math.max(0, event.ms);
        break;
      case 'claim':
        await claimAll(event.process, event.requests);
        break;
      case 'crash':
        started[event.process]?.drop();
        started[event.process] = start(event.process);
        break;
      case 'stop':
        await started[event.process]?.close();
        started[event.process] = start(event.process);
        break;
      case 'takeBack': {
        const newest = log.findLast((one) => one.process === event.process && one.atMs !== undefined);
        if (newest === undefined) break;
        newest.atMs = undefined;
        try {
          await started[event.process]?.settle({ subject: 'alice', id: newest.id, used: 'nothing' });
        } catch (error) {
          if (!(error instanceof DependencyError)) throw error;
        }
        break;
      }
      case 'deaf':
        if (event.isDeaf) deaf.add(event.process);
        else deaf.delete(event.process);
        break;
      default:
        event satisfies never;
    }
    const found = crowded();
    if (found !== undefined) return found;
  }
  for (const leases of started) await leases.close().catch(() => undefined);
  return undefined;
}
