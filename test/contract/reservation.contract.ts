import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bearer, ClaimPart } from '../../src/check/charges.ts';
import { createClaimParts, type PartsDecision } from '../../src/check/claim-parts.ts';
import { formatKeyedId, parseKeyedId } from '../../src/check/keyed-id.ts';
import type { Consume } from '../../src/check/limit.ts';
import type { ReservationNames, TokenCounts } from '../../src/check/reservation.ts';
import type { Settle, Settled, SettleTokens, TokensUsed } from '../../src/check/settlement.ts';
import type { WindowLimit, WindowUnit } from '../../src/policy/policy.ts';

/** Counters whose reservations wait for `reservationTtlMs`. */
export interface ReservingCounters {
  readonly consume: Consume;
  readonly settle: Settle;
  readonly settleTokens: SettleTokens;
  readonly reservationNames: ReservationNames;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Lets time pass. */
  readonly wait: (ms: number) => Promise<void>;
  readonly stop: () => Promise<void>;
}

export const reservationTtlMs = 3000;

const long = 60_000;

const window = (unit: WindowUnit, more: Partial<WindowLimit> = {}): WindowLimit => ({
  scope: '*',
  unit,
  windowMs: long,
  limit: 1000,
  mode: 'enforce',
  ...more,
});

const tokens = window('tokens');
const ofEveryUnit = (['requests', 'tokens', 'inputTokens', 'outputTokens'] as const).map((unit) =>
  window(unit),
);

const counts = (inputTokens: number, outputTokens: number): TokenCounts => ({
  tokens: inputTokens + outputTokens,
  inputTokens,
  outputTokens,
});

const used = (inputTokens: number | undefined, outputTokens: number | undefined): TokensUsed => ({
  tokens: inputTokens === undefined || outputTokens === undefined ? undefined : inputTokens + outputTokens,
  inputTokens,
  outputTokens,
});

/** What all implementations of Consume with a reservation, and of SettleTokens, do together with the limit stage. */
export function describeReservations(name: string, start: () => Promise<ReservingCounters>): void {
  let counters: ReservingCounters;
  let claimParts: ReturnType<typeof createClaimParts>;
  let subjects = 0;

  beforeAll(async () => {
    counters = await start();
    claimParts = createClaimParts({ ...counters, newId: randomUUID });
  });
  afterAll(async () => {
    await counters.stop();
  });

  const newSubject = () => `user-${(subjects += 1)}`;

  const part = (
    subject: string,
    windows: readonly WindowLimit[] = [tokens],
    more: { readonly weight?: number; readonly bearer?: Bearer } = {},
  ): ClaimPart => {
    const { weight = 1, bearer = 'own' } = more;
    const countsTokens = windows.some(({ unit }) => unit !== 'requests');
    const charges = windows.map((of) => ({ window: of, cost: weight }));
    return { bearer, subject, charges, weight, countsTokens };
  };

  const reserve = async (
    parts: readonly ClaimPart[],
    reserved: TokenCounts,
    id: string = randomUUID(),
  ): Promise<PartsDecision> =>
    claimParts({
      parts,
      id,
      tokens: reserved,
      deadlineAtMs: counters.now() + 2000,
      onStoreUnavailable: undefined,
    });

  const idOf = ({ reservation }: PartsDecision) => reservation?.id ?? expect.fail('nothing is reserved');

  const settle = async (id: string, tokensUsed: TokensUsed): Promise<Settled> =>
    counters.settleTokens(parseKeyedId(id) ?? expect.fail('no id'), tokensUsed);

  const left = async (
    subject: string,
    windows: readonly WindowLimit[] = [tokens],
  ): Promise<readonly number[]> => {
    const charges = windows.map((of) => ({ window: of, cost: 0 }));
    const decision = await counters.consume({
      subject,
      id: '',
      charges,
      deadlineAtMs: counters.now() + 2000,
    });
    return decision.windows.map(({ remaining }) => remaining);
  };

  describe(`a reservation ${name}`, () => {
    it('charges each budget with its own estimate, and is settled by its id alone', async () => {
      const subject = newSubject();
      const decision = await reserve([part(subject, ofEveryUnit)], counts(40, 100));
      expect(decision.windows.map(({ remaining }) => remaining)).toStrictEqual([999, 860, 960, 900]);
      expect(await settle(idOf(decision), used(45, 10))).toBe('settled');
      expect(await left(subject, ofEveryUnit)).toStrictEqual([999, 945, 955, 990]);
    });

    it('is all or nothing with the windows of requests', async () => {
      const subject = newSubject();
      const windows = [window('requests', { limit: 2 }), tokens];
      expect((await reserve([part(subject, windows)], counts(1, 900))).admitted).toBe(true);
      const denied = await reserve([part(subject, windows)], counts(1, 100));
      expect(denied).toMatchObject({ admitted: false, deniedBy: 'own' });
      expect(denied.reservation).toBeUndefined();
      expect(denied.windows.map(({ exceeded }) => exceeded)).toStrictEqual([false, true]);
      expect(await left(subject, windows)).toStrictEqual([1, 99]);
    });

    it('keeps 50 at once within the budget, and what they did not use is usable at once', async () => {
      const subject = newSubject();
      const all = () =>
        Promise.all(Array.from({ length: 50 }, () => reserve([part(subject)], counts(0, 100))));
      const granted = (await all()).filter(({ admitted }) => admitted);
      expect(granted).toHaveLength(10);
      expect(await left(subject)).toStrictEqual([0]);
      await Promise.all(granted.map((decision) => settle(idOf(decision), used(0, 10))));
      expect(await left(subject)).toStrictEqual([900]);
      expect((await all()).filter(({ admitted }) => admitted)).toHaveLength(9);
      expect(await left(subject)).toStrictEqual([0]);
    });

    it('charges what was used beyond it, also over the limit, and says none is left', async () => {
      const subject = newSubject();
      const decision = await reserve([part(subject)], counts(10, 90));
      expect(await settle(idOf(decision), used(10, 5000))).toBe('settled');
      expect(await left(subject)).toStrictEqual([0]);
      expect(await left(subject, [{ ...tokens, limit: 6000 }])).toStrictEqual([990]);
      expect((await reserve([part(subject)], counts(0, 1))).admitted).toBe(false);
    });

    it('keeps a kind as reserved of which nothing was told', async () => {
      const subject = newSubject();
      const decision = await reserve([part(subject, ofEveryUnit)], counts(40, 100));
      expect(await settle(idOf(decision), used(12, undefined))).toBe('settled');
      expect(await left(subject, ofEveryUnit)).toStrictEqual([999, 860, 988, 900]);
    });

    it('charges a kind also where nothing of it was reserved', async () => {
      const subject = newSubject();
      const decision = await reserve([part(subject, ofEveryUnit)], counts(40, 0));
      await settle(idOf(decision), used(30, 7));
      expect(await left(subject, ofEveryUnit)).toStrictEqual([999, 963, 970, 993]);
    });

    it('weighs each token, when it is reserved and when it is settled', async () => {
      const subject = newSubject();
      const decision = await reserve([part(subject, ofEveryUnit, { weight: 4 })], counts(50, 150));
      expect(decision.windows.map(({ remaining }) => remaining)).toStrictEqual([996, 200, 800, 400]);
      await settle(idOf(decision), used(60, 10));
      expect(await left(subject, ofEveryUnit)).toStrictEqual([996, 720, 760, 960]);
    });

    it('leaves alone shadow windows that had no room for it', async () => {
      const subject = newSubject();
      const shadow = window('tokens', { scope: 'llm/*', limit: 50, mode: 'shadow' });
      const decision = await reserve([part(subject, [tokens, shadow])], counts(0, 100));
      expect(decision.admitted).toBe(true);
      await settle(idOf(decision), used(0, 120));
      expect(await left(subject, [tokens, shadow])).toStrictEqual([880, 50]);
    });

    it('is the same one when its Check is asked again', async () => {
      const subject = newSubject();
      const id = randomUUID();
      const first = await reserve([part(subject)], counts(0, 100), id);
      const second = await reserve([part(subject)], counts(0, 100), id);
      expect(idOf(second)).toBe(idOf(first));
      expect(await left(subject)).toStrictEqual([900]);
      expect(await settle(idOf(first), used(0, 30))).toBe('settled');
      expect(await settle(idOf(first), used(0, 30))).toBe('unknown');
      expect(await left(subject)).toStrictEqual([970]);
    });

    it('is one of its own for each request without an id', async () => {
      const subject = newSubject();
      const [one, two] = [
        await reserve([part(subject)], counts(0, 100), ''),
        await reserve([part(subject)], counts(0, 100), ''),
      ];
      expect(idOf(one)).not.toBe(idOf(two));
      expect(await left(subject)).toStrictEqual([800]);
    });

    it('changes nothing when it is settled again, with whatever', async () => {
      const subject = newSubject();
      const other = await reserve([part(subject)], counts(0, 500));
      const decision = await reserve([part(subject)], counts(0, 400));
      await settle(idOf(decision), used(0, 0));
      for (const again of [0, 1, 400, 100_000]) {
        expect(await settle(idOf(decision), used(0, again))).toBe('unknown');
      }
      expect(await left(subject)).toStrictEqual([500]);
      expect(await settle(idOf(other), used(0, 1))).toBe('settled');
      expect(await left(subject)).toStrictEqual([999]);
    });

    it('is not found by a forged id', async () => {
      const [subject, other] = [newSubject(), newSubject()];
      const { tag, name: ofFirst } = parseKeyedId(idOf(await reserve([part(subject)], counts(0, 400)))) ?? {
        tag: '',
        name: '',
      };
      const second = parseKeyedId(idOf(await reserve([part(other)], counts(0, 300))));
      const forged = [
        { tag, name: 'A'.repeat(22) },
        { tag, name: second?.name ?? '' },
        { tag: second?.tag ?? '', name: ofFirst },
        { tag: 'A'.repeat(22), name: ofFirst },
      ];
      for (const id of forged) {
        for (const amount of [0, 100_000]) {
          expect(await settle(formatKeyedId(id), used(0, amount))).toBe('unknown');
        }
      }
      expect(await left(subject)).toStrictEqual([600]);
      expect(await left(other)).toStrictEqual([700]);
    });

    it('stays charged once it has run out, whatever is told then', async () => {
      const subject = newSubject();
      const decision = await reserve([part(subject)], counts(0, 400));
      await counters.wait(reservationTtlMs + 100);
      expect(await settle(idOf(decision), used(0, 0))).toBe('unknown');
      expect(await settle(idOf(decision), used(0, 900))).toBe('unknown');
      expect(await left(subject)).toStrictEqual([600]);
    });

    it('is taken back of a request that is not let through after all', async () => {
      const [subject, team] = [newSubject(), newSubject()];
      const parts = [part(subject, ofEveryUnit), part(team, [tokens], { bearer: 'team' })];
      const decision = await reserve(parts, counts(10, 400));
      decision.reservation?.giveBack();
      await expect.poll(() => left(subject, ofEveryUnit)).toStrictEqual([1000, 1000, 1000, 1000]);
      await expect.poll(() => left(team)).toStrictEqual([1000]);
      expect(await settle(idOf(decision), used(10, 20))).toBe('unknown');
      expect(await left(subject, ofEveryUnit)).toStrictEqual([1000, 1000, 1000, 1000]);
    });
  });

  describe(`a reservation with a team and a model ${name}`, () => {
    const partsOf = (): readonly [ClaimPart, ClaimPart, ClaimPart] => [
      part(newSubject(), ofEveryUnit, { weight: 2 }),
      part(newSubject(), [tokens], { bearer: 'team', weight: 2 }),
      part(newSubject(), [window('outputTokens')], { bearer: 'capacity' }),
    ];
    const leftOf = (parts: readonly ClaimPart[]) =>
      Promise.all(
        parts.map(({ subject, charges }) =>
          left(
            subject,
            charges.map(({ window: of }) => of),
          ),
        ),
      );

    it('is settled everywhere by the one id', async () => {
      const parts = partsOf();
      const decision = await reserve(parts, counts(10, 100));
      expect(await leftOf(parts)).toStrictEqual([[998, 780, 980, 800], [780], [900]]);
      expect(await settle(idOf(decision), used(10, 20))).toBe('settled');
      expect(await leftOf(parts)).toStrictEqual([[998, 940, 980, 960], [940], [980]]);
      expect(await settle(idOf(decision), used(0, 0))).toBe('unknown');
      expect(await leftOf(parts)).toStrictEqual([[998, 940, 980, 960], [940], [980]]);
    });

    it('is settled in the rest where somebody did not get further than a part of it', async () => {
      const parts = partsOf();
      const decision = await reserve(parts, counts(10, 100));
      const { name: ofAll } = parseKeyedId(idOf(decision)) ?? expect.fail('no id');
      const model = counters.reservationNames.tagOf(parts[2].subject);
      expect(await settle(formatKeyedId({ tag: model, name: ofAll }), used(10, 20))).toBe('settled');
      expect(await leftOf(parts)).toStrictEqual([[998, 780, 980, 800], [780], [980]]);
      expect(await settle(idOf(decision), used(10, 20))).toBe('settled');
      expect(await leftOf(parts)).toStrictEqual([[998, 940, 980, 960], [940], [980]]);
    });

    it('is settled in the rest also where the one that leads to it was settled already', async () => {
      const parts = partsOf();
      const decision = await reserve(parts, counts(10, 100));
      const { name: ofAll } = parseKeyedId(idOf(decision)) ?? expect.fail('no id');
      const alone = {
        subject: parts[0].subject,
        id: ofAll,
        used: { tokens: 30, inputTokens: 10, outputTokens: 20 },
      };
      expect(await counters.settle(alone)).toBe('settled');
      expect(await leftOf(parts)).toStrictEqual([[998, 940, 980, 960], [780], [900]]);
      await settle(idOf(decision), used(10, 20));
      expect(await leftOf(parts)).toStrictEqual([[998, 940, 980, 960], [940], [980]]);
    });

    it('leads through the first that counts tokens, where the caller alone is limited by requests', async () => {
      const parts = [
        part(newSubject(), [window('requests')]),
        part(newSubject(), [tokens], { bearer: 'team' }),
        part(newSubject(), [tokens], { bearer: 'capacity' }),
      ];
      const decision = await reserve(parts, counts(10, 100));
      expect(parseKeyedId(idOf(decision))?.tag).toBe(
        counters.reservationNames.tagOf(parts[1]?.subject ?? ''),
      );
      await settle(idOf(decision), used(10, 20));
      expect(await leftOf(parts)).toStrictEqual([[999], [970], [970]]);
    });

    it('is taken back where the team has no room', async () => {
      const parts = [part(newSubject(), ofEveryUnit), part(newSubject(), [tokens], { bearer: 'team' })];
      await reserve(parts.slice(1), counts(0, 950));
      const decision = await reserve(parts, counts(10, 100));
      expect(decision).toMatchObject({ admitted: false, deniedBy: 'team' });
      expect(decision.windows.map(({ remaining }) => remaining)).toStrictEqual([1000, 1000, 1000, 1000, 50]);
      await expect.poll(() => leftOf(parts)).toStrictEqual([[1000, 1000, 1000, 1000], [50]]);
    });
  });
}
