import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Charge, Claim, Consume, Decision } from '../../src/check/limit.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';

export interface StartedConsume {
  readonly consume: Consume;
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
  limit: 5,
  mode: 'enforce',
  ...more,
});

const charge = (more: Partial<WindowLimit> = {}, cost = 1): Charge => ({ window: window(more), cost });

/** What every implementation of the port Consume does. Each test has subjects of its own. */
export function describeConsume(name: string, start: () => Promise<StartedConsume>): void {
  describe(`counters ${name}`, () => {
    let started: StartedConsume;
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

    it('admit exactly the limit of claims made at once', async () => {
      const subject = newSubject();
      const charges = [charge({ limit: 20 })];
      const decisions = await Promise.all(Array.from({ length: 100 }, () => claim(subject, charges)));
      expect(decisions.filter(({ admitted }) => admitted)).toHaveLength(20);
    });

    it('tell what remains and when the window is whole again', async () => {
      const subject = newSubject();
      const { windows, retryAfterMs } = await claim(subject, [charge({}, 2)]);
      expect(windows).toEqual([{ window: window(), remaining: 3, resetAfterMs: windowMs, exceeded: false }]);
      expect(retryAfterMs).toBeUndefined();
    });

    it('deny what does not fit, and admit it after the time they name', async () => {
      const subject = newSubject();
      await claim(subject, [charge({}, 5)]);
      const denied = await claim(subject, [charge()]);
      expect(denied).toMatchObject({ admitted: false, windows: [{ remaining: 0, exceeded: true }] });
      const retryAfterMs = denied.retryAfterMs ?? 0;
      expect(retryAfterMs).toBeGreaterThan(windowMs - 500);
      expect(retryAfterMs).toBeLessThanOrEqual(windowMs);
      await started.wait(retryAfterMs);
      expect((await claim(subject, [charge()])).admitted).toBe(true);
    });

    it('charge all windows or none', async () => {
      const subject = newSubject();
      const wide = { windowMs: 3000, limit: 100 };
      await claim(subject, [charge(), charge(wide)]);
      const denied = await claim(subject, [charge({}, 5), charge(wide, 5)]);
      expect(denied).toMatchObject({
        admitted: false,
        windows: [
          { remaining: 4, exceeded: true },
          { remaining: 99, exceeded: false },
        ],
      });
      expect(await remaining(subject)).toBe(4);
      expect(await remaining(subject, window(wide))).toBe(99);
    });

    it('count in a shadow window what it would have admitted, and never deny for it', async () => {
      const subject = newSubject();
      const shadow = { windowMs: 3000, limit: 2, mode: 'shadow' } as const;
      const charges = [charge(), charge(shadow)];
      const exceeded: boolean[] = [];
      for (let count = 0; count < 7; count += 1) {
        const { admitted, windows } = await claim(subject, charges);
        if (admitted) exceeded.push(windows[1]?.exceeded ?? false);
      }
      expect(exceeded).toEqual([false, false, true, true, true]);
      // Seen through a greater limit: neither the two denied claims were counted nor those it would have denied.
      expect(await remaining(subject, window({ ...shadow, limit: 100 }))).toBe(98);
    });

    it('charge all shadow windows of a claim or none', async () => {
      const subject = newSubject();
      const narrow = { windowMs: 3000, limit: 1, mode: 'shadow' } as const;
      const wide = { windowMs: 4000, limit: 100, mode: 'shadow' } as const;
      const charges = [charge(), charge(narrow), charge(wide)];
      await claim(subject, charges);
      const { admitted, windows } = await claim(subject, charges, { id: 'second' });
      expect(admitted).toBe(true);
      expect(windows).toMatchObject([
        { remaining: 3, exceeded: false },
        { remaining: 0, exceeded: true },
        { remaining: 99, exceeded: false },
      ]);
    });

    it('charge once what a shadow limit and an enforced one count alike', async () => {
      const subject = newSubject();
      const charges = [charge({ limit: 3 }), charge({ limit: 1, mode: 'shadow' })];
      const admitted: boolean[] = [];
      for (let count = 0; count < 4; count += 1) admitted.push((await claim(subject, charges)).admitted);
      expect(admitted).toEqual([true, true, true, false]);
    });

    it('charge a claim with the same id once, and tell the windows as they stand', async () => {
      const subject = newSubject();
      await claim(subject, [charge({}, 3)], { id: '4711' });
      await claim(subject, [charge()]);
      const repeated = await claim(subject, [charge({}, 3)], { id: '4711' });
      expect(repeated).toMatchObject({ admitted: true, windows: [{ remaining: 1, exceeded: false }] });
      expect(await remaining(subject)).toBe(1);
    });

    it('charge the same id once when it is claimed twice at the same time', async () => {
      const subject = newSubject();
      const decisions = await Promise.all(
        Array.from({ length: 10 }, () => claim(subject, [charge()], { id: 'same' })),
      );
      expect(decisions.every(({ admitted }) => admitted)).toBe(true);
      expect(await remaining(subject)).toBe(4);
    });

    it('know an id for its subject only', async () => {
      const [one, other] = [newSubject(), newSubject()];
      await claim(one, [charge()], { id: '4711' });
      await claim(other, [charge()], { id: '4711' });
      expect([await remaining(one), await remaining(other)]).toEqual([4, 4]);
    });

    it('take claims without an id for different ones', async () => {
      const subject = newSubject();
      await claim(subject, [charge()]);
      await claim(subject, [charge()]);
      expect(await remaining(subject)).toBe(3);
    });

    it('do not remember a denial by its id', async () => {
      const subject = newSubject();
      await claim(subject, [charge({ limit: 5 }, 5)]);
      expect((await claim(subject, [charge({ limit: 5 })], { id: 'retry' })).admitted).toBe(false);
      expect((await claim(subject, [charge({ limit: 6 })], { id: 'retry' })).admitted).toBe(true);
    });

    it('admit a look at a full window, and charge nothing for it', async () => {
      const subject = newSubject();
      await claim(subject, [charge({}, 5)]);
      const look = await claim(subject, [charge({}, 0)], { id: 'look' });
      expect(look).toMatchObject({ admitted: true, windows: [{ remaining: 0, exceeded: false }] });
      expect(await claim(subject, [charge({ limit: 6 }, 1)], { id: 'look' })).toMatchObject({
        admitted: true,
        windows: [{ remaining: 0 }],
      });
    });

    it('deny for good, naming no time, what is more than the limit', async () => {
      const denied = await claim(newSubject(), [charge({}, 6)]);
      expect(denied).toMatchObject({ admitted: false, retryAfterMs: undefined });
      expect(denied.windows).toMatchObject([{ remaining: 5, resetAfterMs: 0, exceeded: true }]);
    });

    it('obey a raised and a lowered limit with the next claim, and keep what was counted', async () => {
      const subject = newSubject();
      await claim(subject, [charge({}, 5)]);
      expect((await claim(subject, [charge()])).admitted).toBe(false);
      expect((await claim(subject, [charge({ limit: 6 })])).admitted).toBe(true);
      expect(await claim(subject, [charge({ limit: 2 })])).toMatchObject({
        admitted: false,
        windows: [{ remaining: 0 }],
      });
    });

    it('count subjects, scopes, units and lengths apart', async () => {
      const [one, other] = [newSubject(), newSubject()];
      const apart = [
        charge(),
        charge({ scope: 'llm/llama' }),
        charge({ unit: 'tokens' }),
        charge({ windowMs: 2500 }),
      ];
      await claim(one, apart);
      await claim(one, [charge({ unit: 'tokens' }, 2)]);
      const { windows } = await claim(
        one,
        apart.map(({ window: of }) => ({ window: of, cost: 0 })),
      );
      expect(windows.map((state) => state.remaining)).toEqual([4, 4, 2, 4]);
      expect(await remaining(other)).toBe(5);
    });

    it('count for any subject and id there may be', async () => {
      const texts = ['a{b}c', '}{', 'line\nbreak\r\n', '\u0000', 'ünï©ode\u{1F512}', 'x'.repeat(10_000), ' '];
      for (const text of texts) {
        await claim(text, [charge()], { id: text });
        await claim(text, [charge()], { id: text });
        await claim(text, [charge()], { id: `${text}!` });
        expect(await remaining(text)).toBe(3);
      }
    });

    it('charge nothing for a claim past its deadline', async () => {
      const subject = newSubject();
      await expect(claim(subject, [charge()], { deadlineAtMs: started.now() - 1 })).rejects.toMatchObject({
        name: 'DependencyError',
        code: 'timeout',
      });
      expect(await remaining(subject)).toBe(5);
    });

    it('never admit more than the limit in any window while a caller never stops asking', async () => {
      const subject = newSubject();
      const charges = [charge({ windowMs: 1000, limit: 10 })];
      const admitted: { readonly sentAtMs: number; readonly answeredAtMs: number }[] = [];
      const endsAtMs = started.now() + 3500;
      while (started.now() < endsAtMs) {
        const sentAtMs = started.now();
        const decision = await claim(subject, charges);
        if (decision.admitted) admitted.push({ sentAtMs, answeredAtMs: started.now() });
        await started.wait(7);
      }
      // Each was charged between the two times, so 11 that fit into one window prove a mistake.
      const crowded = admitted.filter(
        ({ sentAtMs }, index) => (admitted[index + 10]?.answeredAtMs ?? Infinity) - sentAtMs < 1000,
      );
      expect(crowded).toEqual([]);
      expect(admitted.length).toBeGreaterThanOrEqual(30);
    });
  });
}
