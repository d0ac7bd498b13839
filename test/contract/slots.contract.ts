import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseKeyedId } from '../../src/check/keyed-id.ts';
import type { SlotClaim, Slots } from '../../src/check/slot.ts';

export interface SlotsWorld {
  readonly slots: Slots;
  readonly now: () => number;
  /** Lets that much time pass. */
  readonly wait: (ms: number) => Promise<void>;
  readonly leaseMs: number;
  readonly stop: () => Promise<void>;
}

/** What every store of slots does. */
export function describeSlots(where: string, start: () => Promise<SlotsWorld>): void {
  describe(`slots ${where}`, () => {
    let world: SlotsWorld;
    let subjects = 0;
    beforeAll(async () => {
      world = await start();
    });
    afterAll(() => world.stop());

    /** Claims of a subject that nobody had before. */
    function someone(limit: number | undefined) {
      subjects += 1;
      const subject = `person-${subjects}`;
      const take = async (id = '', more: Partial<SlotClaim> = {}) =>
        world.slots.take({ subject, id, limit, deadlineAtMs: world.now() + 5000, ...more });
      return { subject, take };
    }

    it('are as many as the limit, and free again once released', async () => {
      const { take } = someone(2);
      const first = await take();
      expect(first).toMatchObject({ taken: true, open: 1 });
      expect(await take()).toMatchObject({ taken: true, open: 2 });
      expect(await take()).toEqual({ taken: false, slot: undefined, open: 2 });
      expect(await world.slots.release(first.slot?.id ?? '')).toBe('released');
      expect(await take()).toMatchObject({ taken: true, open: 2 });
      expect(await take()).toMatchObject({ taken: false });
    });

    it('can be looked at, which takes none', async () => {
      const { subject, take } = someone(2);
      const look = () => world.slots.look({ subject, id: '', limit: 2, deadlineAtMs: world.now() + 5000 });
      expect(await look()).toEqual({ taken: true, slot: undefined, open: 1 });
      expect(await look()).toEqual({ taken: true, slot: undefined, open: 1 });
      await take();
      expect(await look()).toEqual({ taken: true, slot: undefined, open: 2 });
      await take();
      expect(await look()).toEqual({ taken: false, slot: undefined, open: 2 });
      await world.wait(world.leaseMs + 50);
      expect(await look()).toEqual({ taken: true, slot: undefined, open: 1 });
    });

    it('never are more than the limit, however many ask at once', async () => {
      const { take } = someone(8);
      const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => take(`stream-${index}`)));
      expect(answers.filter(({ taken }) => taken)).toHaveLength(8);
    });

    it('have ids that tell nothing and are like those of reservations', async () => {
      const { take, subject } = someone(8);
      const [one, two] = [await take('stream-1'), await take()];
      for (const { slot } of [one, two]) {
        expect(slot?.id).toMatch(/^[\w-]{22}\.[\w-]{22}$/);
        expect(slot?.id).not.toContain(subject);
      }
      expect(parseKeyedId(one.slot?.id ?? '')?.tag).toBe(parseKeyedId(two.slot?.id ?? '')?.tag);
      expect(one.slot?.id).not.toBe(two.slot?.id);
    });

    it('are one for a request that is asked about again', async () => {
      const { take } = someone(1);
      const first = await take('stream-1');
      const again = await take('stream-1');
      expect(again).toMatchObject({ taken: true, open: 1, slot: { id: first.slot?.id } });
      expect(await take('stream-2')).toMatchObject({ taken: false });
    });

    it('are given back by the attempt that took them last, and by no other', async () => {
      const { take } = someone(1);
      const first = await take('stream-1');
      const again = await take('stream-1');
      if (first.slot === undefined || again.slot === undefined) throw new Error('no slot');
      expect(await world.slots.giveBack(first.slot)).toBe('unknown');
      expect(await take('stream-2')).toMatchObject({ taken: false });
      expect(await world.slots.giveBack(again.slot)).toBe('released');
      expect(await take('stream-2')).toMatchObject({ taken: true });
    });

    it('are released once, and by their own id alone', async () => {
      const { take } = someone(2);
      const { slot } = await take('stream-1');
      const id = slot?.id ?? '';
      const { tag = '' } = parseKeyedId(id) ?? {};
      for (const other of ['', 'x', `${tag}.`, `${tag}.${'A'.repeat(22)}`, `${id}x`, id.replace('.', ':')]) {
        expect(await world.slots.release(other)).toBe('unknown');
      }
      expect(await take('stream-2')).toMatchObject({ taken: true, open: 2 });
      expect(await world.slots.release(id)).toBe('released');
      expect(await world.slots.release(id)).toBe('unknown');
    });

    it('of one subject leave those of another alone', async () => {
      const [alice, bob] = [someone(1), someone(1)];
      const { slot } = await alice.take('stream-1');
      expect(await bob.take('stream-1')).toMatchObject({ taken: true, open: 1 });
      await world.slots.release(slot?.id ?? '');
      expect(await bob.take('stream-2')).toMatchObject({ taken: false });
    });

    it('are counted beyond the limit where there is none', async () => {
      const { take } = someone(undefined);
      for (let open = 1; open <= 5; open += 1) expect(await take()).toMatchObject({ taken: true, open });
      expect(await take('', { limit: 5 })).toMatchObject({ taken: false, open: 5 });
    });

    it('free themselves when their lease is over, and not before', async () => {
      const { take } = someone(1);
      const { slot } = await take('stream-1');
      await world.wait(world.leaseMs / 2);
      expect(await take('stream-2')).toMatchObject({ taken: false });
      await world.wait(world.leaseMs / 2 + 50);
      expect(await take('stream-2')).toMatchObject({ taken: true, open: 1 });
      expect(await world.slots.release(slot?.id ?? '')).toBe('unknown');
      expect(await take('stream-3')).toMatchObject({ taken: false });
    });

    it('are not taken after the deadline', async () => {
      const { take } = someone(1);
      await expect(take('late', { deadlineAtMs: world.now() - 1 })).rejects.toMatchObject({
        code: 'timeout',
      });
      expect(await take('stream-1')).toMatchObject({ taken: true, open: 1 });
    });
  });
}
