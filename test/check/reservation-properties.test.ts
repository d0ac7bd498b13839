import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import { settledTtlMs } from '../../src/check/settlement.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';

/** Long enough that nothing leaves its windows: what remains is what was charged, and nothing else. */
const windows = (['tokens', 'inputTokens', 'outputTokens'] as const).map(
  (unit): WindowLimit => ({ scope: '*', unit, windowMs: 86_400_000, limit: 500, mode: 'enforce' }),
);
const ttlMs = 10_000;

type Kinds = readonly [tokens: number, input: number, output: number];

type Event =
  | { readonly kind: 'reserve'; readonly id: number; readonly input: number; readonly output: number }
  /** Delivered in any order, any number of times, of reservations that were never made too. */
  | {
      readonly kind: 'settle';
      readonly id: number;
      readonly input: number | undefined;
      readonly output: number | undefined;
    }
  | { readonly kind: 'takeBack'; readonly id: number }
  | { readonly kind: 'wait'; readonly ms: number };

const id = fc.integer({ min: 1, max: 8 });
const kind = <Kind extends string>(word: Kind) => fc.constant(word);
const scenarios = fc.array(
  fc.oneof(
    fc.record({ kind: kind('reserve'), id, input: fc.nat({ max: 60 }), output: fc.nat({ max: 90 }) }),
    fc.record({
      kind: kind('settle'),
      id,
      input: fc.option(fc.nat({ max: 80 }), { nil: undefined }),
      output: fc.option(fc.nat({ max: 200 }), { nil: undefined }),
    }),
    fc.record({ kind: kind('takeBack'), id }),
    fc.record({ kind: kind('wait'), ms: fc.constantFrom(1, ttlMs / 2, ttlMs + 1) }),
  ),
  { minLength: 5, maxLength: 60 },
);

interface Held {
  charged: Kinds;
  state: 'open' | 'reliedOn' | 'settled' | 'takenBack';
  /** When nothing is known of it any more: what was charged stays. */
  endsAtMs: number;
}

interface Mistakes {
  readonly settlesTwice?: boolean;
  readonly settlesForged?: boolean;
  readonly refundsExpired?: boolean;
  readonly forgetsWeight?: boolean;
}

/** What was charged, request by request: a list, a sum, and the rules in words. */
function createLedger(weight: number, mistakes: Mistakes) {
  const held = new Map<number, Held>();
  const gone: Kinds[] = [];
  const total = (at: number) =>
    [...[...held.values()].map(({ charged }) => charged), ...gone].reduce(
      (sum, kinds) => sum + (kinds[at] ?? 0),
      0,
    );
  return {
    left: () => windows.map(({ limit }, at) => Math.max(0, limit - total(at))),
    expire(nowMs: number) {
      for (const [key, { charged, endsAtMs }] of held) {
        if (nowMs < endsAtMs || mistakes.refundsExpired === true) continue;
        gone.push(charged);
        held.delete(key);
      }
    },
    reserve(key: number, input: number, output: number, nowMs: number): boolean {
      const known = held.get(key);
      if (known !== undefined) {
        if (known.state === 'open') known.state = 'reliedOn';
        return known.state !== 'takenBack';
      }
      const wanted: Kinds = [(input + output) * weight, input * weight, output * weight];
      if (windows.some(({ limit }, at) => (wanted[at] ?? 0) > 0 && total(at) + (wanted[at] ?? 0) > limit))
        return false;
      held.set(key, { charged: wanted, state: 'open', endsAtMs: nowMs + ttlMs });
      return true;
    },
    settle(key: number, used: readonly (number | undefined)[], nowMs: number): boolean {
      const known = held.get(key);
      if (known === undefined) {
        if (mistakes.settlesForged === true) gone.push([used[0] ?? 0, used[1] ?? 0, used[2] ?? 0]);
        return false;
      }
      if (known.state === 'takenBack' || (known.state === 'settled' && mistakes.settlesTwice !== true))
        return false;
      const times = mistakes.forgetsWeight === true ? 1 : weight;
      const [tokens, input, output] = used.map((count, at) =>
        count === undefined ? known.charged[at] : count * times,
      );
      known.charged = [tokens ?? 0, input ?? 0, output ?? 0];
      known.state = 'settled';
      known.endsAtMs = nowMs + settledTtlMs;
      return true;
    },
    takeBack(key: number, nowMs: number) {
      const known = held.get(key);
      if (known?.state !== 'open') return;
      known.charged = [0, 0, 0];
      known.state = 'takenBack';
      known.endsAtMs = nowMs + settledTtlMs;
    },
  };
}

/** Whether counters and ledger say the same at each step. */
function agree(events: readonly Event[], weight: number, mistakes: Mistakes = {}): boolean {
  let nowMs = 1_750_000_000_000;
  const counters = createMemoryCounters({ now: () => nowMs, reservationTtlMs: ttlMs });
  const ledger = createLedger(weight, mistakes);
  const tag = counters.reservationNames.tagOf('alice');
  const charges = windows.map((window) => ({ window, cost: weight }));
  const deadlineAtMs = Number.POSITIVE_INFINITY;
  for (const event of events) {
    const name = 'id' in event ? `reservation-${event.id}` : '';
    if (event.kind === 'wait') nowMs += event.ms;
    ledger.expire(nowMs);
    if (event.kind === 'reserve') {
      const { input, output } = event;
      const tokens = { tokens: input + output, inputTokens: input, outputTokens: output };
      const reservation = { tokens, weight, tag, others: [] };
      const { admitted } = counters.consume({
        subject: 'alice',
        id: name,
        charges,
        deadlineAtMs,
        reservation,
      });
      if (admitted !== ledger.reserve(event.id, input, output, nowMs)) return false;
    } else if (event.kind === 'settle') {
      const { input, output } = event;
      const tokens = input === undefined || output === undefined ? undefined : input + output;
      const settled = counters.settleTokens(
        { tag, name },
        { tokens, inputTokens: input, outputTokens: output },
      );
      if ((settled === 'settled') !== ledger.settle(event.id, [tokens, input, output], nowMs)) return false;
    } else if (event.kind === 'takeBack') {
      counters.settle({ subject: 'alice', id: name, used: 'nothing' });
      ledger.takeBack(event.id, nowMs);
    }
    const looks = windows.map((window) => ({ window, cost: 0 }));
    const left = counters.consume({ subject: 'alice', id: '', charges: looks, deadlineAtMs });
    if (ledger.left().some((count, at) => count !== left.windows[at]?.remaining)) return false;
  }
  return true;
}

describe('reservations that are settled twice, late, out of order, by forged ids', () => {
  it.each([1, 3])('leave what a plain list of them says, at a weight of %i', (weight) => {
    fc.assert(
      fc.property(scenarios, (events) => agree(events, weight)),
      { numRuns: 300 },
    );
  });

  it.each<[string, Mistakes]>([
    ['a second settlement that counts', { settlesTwice: true }],
    ['a forged id that is charged', { settlesForged: true }],
    ['a reservation that is settled after it ran out', { refundsExpired: true }],
    ['a weight that is forgotten', { forgetsWeight: true }],
  ])('would tell of %s', (_name, mistakes) => {
    const { failed } = fc.check(
      fc.property(scenarios, (events) => agree(events, 3, mistakes)),
      { seed: 20_261_122, numRuns: 300, endOnFailure: true },
    );
    expect(failed).toBe(true);
  });
});
