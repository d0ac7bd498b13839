import { describe, expect, it } from 'vitest';
import { createMemorySlots } from '../../src/check/memory-slots.ts';
import type { Slots } from '../../src/check/slot.ts';
import { createSlotOutage, type SlotOutageOptions } from '../../src/check/slot-outage.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { createManualClock } from '../support/manual-clock.ts';

function setUp(options: Partial<SlotOutageOptions> = {}) {
  const clock = createManualClock();
  const memory = createMemorySlots({ now: clock.now, leaseMs: 60_000 });
  let fault: Error | undefined;
  const unlessAway =
    <Asked, Answer>(port: (asked: Asked) => Answer | Promise<Answer>) =>
    async (asked: Asked): Promise<Answer> => {
      if (fault !== undefined) throw fault;
      return port(asked);
    };
  const store: Slots = {
    take: unlessAway(memory.take),
    look: unlessAway(memory.look),
    release: unlessAway(memory.release),
    giveBack: unlessAway(memory.giveBack),
  };
  const slots = createSlotOutage({
    store,
    now: clock.now,
    leaseMs: 60_000,
    processes: 2,
    onStoreUnavailable: 'local',
    ...options,
  });
  return {
    clock,
    slots,
    take: async (id: string, onStoreUnavailable?: SlotOutageOptions['onStoreUnavailable'], limit = 4) =>
      slots.take({ subject: 'alice', id, limit, deadlineAtMs: clock.now() + 100, onStoreUnavailable }),
    away: (error: Error | undefined = new DependencyError('redis', 'unreachable')) => {
      fault = error;
    },
    back: () => {
      fault = undefined;
    },
  };
}

describe('slots while the store is away', () => {
  it('are counted in the process within its share, and released there', async () => {
    const { take, away, slots } = setUp();
    away();
    const first = await take('1');
    expect(await take('2')).toMatchObject({ taken: true });
    expect(await take('3')).toMatchObject({ taken: false });
    expect(await slots.release(first.slot?.id ?? '')).toBe('released');
    expect(await take('3')).toMatchObject({ taken: true });
  });

  it('are at least one for each process', async () => {
    const { take, away } = setUp({ processes: 100 });
    away();
    expect(await take('1')).toMatchObject({ taken: true });
    expect(await take('2')).toMatchObject({ taken: false });
  });

  it('that are still open when it is back leave that much less of the limit', async () => {
    const { take, away, back, slots } = setUp();
    away();
    const local = await take('1');
    back();
    for (const id of ['2', '3', '4']) expect(await take(id)).toMatchObject({ taken: true });
    expect(await take('5')).toMatchObject({ taken: false });
    await slots.release(local.slot?.id ?? '');
    expect(await take('5')).toMatchObject({ taken: true });
  });

  it('are not counted, or not to be had, where the tier says so', async () => {
    const { take, away } = setUp();
    away();
    for (const id of ['1', '2', '3', '4', '5']) {
      expect(await take(id, 'allow')).toEqual({ taken: true, slot: undefined, open: 0 });
    }
    await expect(take('6', 'deny')).rejects.toMatchObject({ code: 'unreachable' });
  });

  it('do not hide a bug', async () => {
    const { take, away } = setUp();
    away(new TypeError('a bug'));
    await expect(take('1')).rejects.toThrow('a bug');
  });
});

describe('slots in memory', () => {
  it('have an end, also when the clock was set back', () => {
    const clock = createManualClock();
    const slots = createMemorySlots({ now: clock.now, leaseMs: 60_000 });
    const take = (id: string) =>
      slots.take({ subject: 'alice', id, limit: 1, deadlineAtMs: Number.POSITIVE_INFINITY });
    take('1');
    clock.advance(-3_600_000);
    expect(take('2').taken).toBe(false);
    clock.advance(60_000);
    expect(take('2').taken).toBe(true);
  });

  it('are bounded in number, and none is dropped to make room', () => {
    const clock = createManualClock();
    const slots = createMemorySlots({ now: clock.now, leaseMs: 60_000, maxSlots: 2 });
    const take = (subject: string) =>
      slots.take({ subject, id: '', limit: 1, deadlineAtMs: Number.POSITIVE_INFINITY });
    const first = take('a');
    take('b');
    expect(() => take('c')).toThrow(expect.objectContaining({ code: 'overloaded' }));
    expect(take('a').taken).toBe(false);
    slots.release(first.slot?.id ?? '');
    expect(take('c').taken).toBe(true);
    clock.advance(60_001);
    for (const subject of ['d', 'e']) expect(take(subject).taken).toBe(true);
  });
});
