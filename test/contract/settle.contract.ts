import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ResetCounters, SetBoost } from '../../src/check/boost.ts';
import type { Charge, Claim, Consume, Decision } from '../../src/check/limit.ts';
import type { Settle } from '../../src/check/settlement.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';

export interface StartedCounters {
  readonly consume: Consume;
  readonly settle: Settle;
  readonly setBoost: SetBoost;
  readonly resetCounters: ResetCounters;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Lets time pass. */
  readonly wait: (ms: number) => Promise<void>;
  readonly stop: () => Promise<void>;
}

const windowMs = 2000;

const window = (more: Partial<WindowLimit> = {}): WindowLimit => ({
  scope: '*',
  unit: 'requests',
  windowMs,
  limit: 10,
  mode: 'enforce',
  ...more,
});

const tokens = { unit: 'tokens', limit: 1000 } as const;

const charge = (more: Partial<WindowLimit> = {}, cost = 1): Charge => ({ window: window(more), cost });

/** What every implementation of the ports Settle, SetBoost and ResetCounters does, beside one of Consume. */
export function describeSettle(name: string, start: () => Promise<StartedCounters>): void {
  let started: StartedCounters;
  let subjects = 0;

  beforeAll(async () => {
    started = await start();
  });
  afterAll(async () => {
    await started.stop();
  });

  const newSubject = () => `user-${(subjects += 1)}`;

  const claim = async (
    subject: string,
    charges: readonly Charge[],
    more: Partial<Claim> = {},
  ): Promise<Decision> =>
    started.consume({ subject, id: '', charges, deadlineAtMs: started.now() + 1000, ...more });

  const remaining = async (subject: string, of: WindowLimit = window()): Promise<number | undefined> =>
    (await claim(subject, [{ window: of, cost: 0 }])).windows[0]?.remaining;

  const settle = async (...[subject, id, used]: [string, string, Parameters<Settle>[0]['used']]) =>
    started.settle({ subject, id, used });

  describe(`a settlement ${name}`, () => {
    it('gives back what was not used of one kind, and leaves the others', async () => {
      const subject = newSubject();
      await claim(subject, [charge(), charge(tokens, 600)], { id: 'a' });
      expect(await settle(subject, 'a', { tokens: 150 })).toBe('settled');
      expect(await remaining(subject)).toBe(9);
      expect(await remaining(subject, window(tokens))).toBe(850);
    });

    it('charges what was used beyond that, also over the limit', async () => {
      const subject = newSubject();
      await claim(subject, [charge(tokens, 600)], { id: 'a' });
      expect(await settle(subject, 'a', { tokens: 1700 })).toBe('settled');
      expect(await remaining(subject, window(tokens))).toBe(0);
      expect(await remaining(subject, window({ ...tokens, limit: 2000 }))).toBe(300);
    });

    it('changes nothing the second time', async () => {
      const subject = newSubject();
      await claim(subject, [charge(tokens, 100)]);
      await claim(subject, [charge(tokens, 600)], { id: 'a' });
      await settle(subject, 'a', { tokens: 0 });
      expect(await settle(subject, 'a', { tokens: 0 })).toBe('unknown');
      expect(await settle(subject, 'a', 'nothing')).toBe('unknown');
      expect(await settle(subject, 'a', { tokens: 500 })).toBe('unknown');
      expect(await remaining(subject, window(tokens))).toBe(900);
    });

    it('changes nothing for an id or a subject that was never charged', async () => {
      const subject = newSubject();
      await claim(subject, [charge({}, 4)], { id: 'a' });
      expect(await settle(subject, 'b', 'nothing')).toBe('unknown');
      expect(await settle(newSubject(), 'a', 'nothing')).toBe('unknown');
      expect(await remaining(subject)).toBe(6);
    });

    it('takes back all windows of a claim, shadow ones too', async () => {
      const subject = newSubject();
      const shadow = { windowMs: 3000, mode: 'shadow' } as const;
      await claim(subject, [charge({}, 3), charge({ scope: 'llm/big-*' }, 3), charge(shadow, 3)], {
        id: 'a',
      });
      expect(await settle(subject, 'a', 'nothing')).toBe('settled');
      for (const of of [window(), window({ scope: 'llm/big-*' }), window(shadow)]) {
        expect(await remaining(subject, of)).toBe(10);
      }
    });

    it('denies a claim that was taken back when it comes again, and charges nothing', async () => {
      const subject = newSubject();
      await claim(subject, [charge()], { id: 'a' });
      await settle(subject, 'a', 'nothing');
      expect(await claim(subject, [charge()], { id: 'a' })).toMatchObject({
        admitted: false,
        retryAfterMs: 0,
      });
      expect(await remaining(subject)).toBe(10);
    });

    it('does not take back a claim that came again, since somebody else relies on it', async () => {
      const subject = newSubject();
      await claim(subject, [charge()], { id: 'a' });
      expect((await claim(subject, [charge()], { id: 'a' })).admitted).toBe(true);
      expect(await settle(subject, 'a', 'nothing')).toBe('unknown');
      expect(await remaining(subject)).toBe(9);
      expect(await settle(subject, 'a', { requests: 0 })).toBe('settled');
      expect(await remaining(subject)).toBe(10);
    });

    it('admits a claim that was settled when it comes again, and charges nothing', async () => {
      const subject = newSubject();
      await claim(subject, [charge(tokens, 600)], { id: 'a' });
      await settle(subject, 'a', { tokens: 100 });
      expect((await claim(subject, [charge(tokens, 600)], { id: 'a' })).admitted).toBe(true);
      expect(await remaining(subject, window(tokens))).toBe(900);
    });

    it('gives back to the slot of the charge, not to a later one', async () => {
      const subject = newSubject();
      await claim(subject, [charge(tokens, 600)], { id: 'a' });
      await started.wait(windowMs / 2);
      await claim(subject, [charge(tokens, 400)], { id: 'b' });
      await settle(subject, 'a', { tokens: 100 });
      expect(await remaining(subject, window(tokens))).toBe(500);
      // The first slot has left with the 100 that stayed; of the second nothing went with it.
      await started.wait(windowMs / 2 + windowMs / 10);
      expect(await remaining(subject, window(tokens))).toBe(600);
    });

    it('gives nothing back where the slot has left', async () => {
      const subject = newSubject();
      await claim(subject, [charge(tokens, 600)], { id: 'a' });
      await started.wait(windowMs + windowMs / 10);
      await claim(subject, [charge(tokens, 300)]);
      expect(await settle(subject, 'a', { tokens: 0 })).toBe('settled');
      expect(await remaining(subject, window(tokens))).toBe(700);
    });
  });

  describe(`a boost ${name}`, () => {
    it('raises every limit of its subject with the next claim, and is told with them', async () => {
      const [subject, other] = [newSubject(), newSubject()];
      const charges = [charge(), charge({ windowMs: 3000, limit: 7, mode: 'shadow' })];
      await claim(subject, [charge({}, 10)]);
      expect((await claim(subject, charges)).admitted).toBe(false);
      await started.setBoost(subject, { percent: 150, durationMs: 60_000 });
      const decision = await claim(subject, charges);
      expect(decision).toMatchObject({
        admitted: true,
        windows: [
          { window: { limit: 15 }, remaining: 4 },
          { window: { limit: 10 }, remaining: 9 },
        ],
        boost: { percent: 150 },
      });
      expect(decision.boost?.endsAfterMs).toBeGreaterThan(55_000);
      expect(decision.boost?.endsAfterMs).toBeLessThanOrEqual(60_000);
      expect(await claim(subject, [charge({}, 5)])).toMatchObject({ admitted: false });
      expect(await claim(other, [charge({}, 11)])).toMatchObject({
        admitted: false,
        retryAfterMs: undefined,
      });
      expect((await claim(other, charges)).boost).toBeUndefined();
    });

    it('is over at its end, with what was used counted on', async () => {
      const subject = newSubject();
      const slow = charge({ windowMs: 60_000 }, 15);
      await started.setBoost(subject, { percent: 200, durationMs: 1000 });
      expect((await claim(subject, [slow])).admitted).toBe(true);
      await started.wait(1010);
      const decision = await claim(subject, [charge({ windowMs: 60_000 })]);
      expect(decision).toMatchObject({ admitted: false, windows: [{ window: { limit: 10 }, remaining: 0 }] });
      expect(decision.boost).toBeUndefined();
    });

    it('is the last one that was set, and none once it was ended', async () => {
      const subject = newSubject();
      await started.setBoost(subject, { percent: 200, durationMs: 60_000 });
      await started.setBoost(subject, { percent: 300, durationMs: 60_000 });
      expect((await claim(subject, [charge()])).windows[0]?.window.limit).toBe(30);
      await started.setBoost(subject, undefined);
      expect((await claim(subject, [charge()])).windows[0]?.window.limit).toBe(10);
    });
  });

  describe(`a reset ${name}`, () => {
    it('frees a subject of what it used in these windows, and of no others', async () => {
      const [subject, other] = [newSubject(), newSubject()];
      const narrow = { scope: 'llm/big-*' };
      for (const who of [subject, other]) await claim(who, [charge({}, 10), charge(narrow, 10)]);
      await started.resetCounters(subject, [window()]);
      expect(await remaining(subject)).toBe(10);
      expect(await remaining(subject, window(narrow))).toBe(0);
      expect(await remaining(other)).toBe(0);
      await started.resetCounters(newSubject(), [window()]);
      await started.resetCounters(subject, []);
    });

    it('is not undone by what is settled after it', async () => {
      const subject = newSubject();
      await claim(subject, [charge({}, 4)], { id: 'a' });
      await started.resetCounters(subject, [window()]);
      await claim(subject, [charge({}, 3)]);
      await settle(subject, 'a', 'nothing');
      expect(await remaining(subject)).toBe(7);
    });
  });
}
