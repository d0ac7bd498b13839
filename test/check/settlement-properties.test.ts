import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ChargedSlot,
  chargedSlot,
  chargedWindow,
  claimWindows,
  emptyWindow,
  settledWindow,
  type SlottedWindow,
  windowAt,
} from '../../src/check/window.ts';

/** What happens to one window, one after the other. */
type Event =
  | { readonly kind: 'wait'; readonly us: number }
  | { readonly kind: 'claim'; readonly units: number }
  /** Of the claim so many claims ago; `used` in tenths of what it was charged, so that 13 is more than that. */
  | { readonly kind: 'settle'; readonly claimsAgo: number; readonly used: number };

const lengthUs = 2_000_000;
const slotUs = lengthUs / 20;
const limit = 20;
const startUs = 1_750_000_000_000_000;

const scenarios = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('wait' as const),
        us: fc.oneof(
          fc.constantFrom(0, 1, slotUs - 1, slotUs, lengthUs - slotUs, lengthUs - 1, lengthUs),
          fc.nat({ max: 3 * slotUs }),
        ),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('claim' as const), units: fc.integer({ min: 1, max: 12 }) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('settle' as const),
        claimsAgo: fc.integer({ min: 1, max: 8 }),
        used: fc.constantFrom(0, 0, 3, 10, 13),
      }),
    },
  ),
  { minLength: 5, maxLength: 60 },
);

interface Charged {
  readonly slot: ChargedSlot;
  isSettled: boolean;
}

type Settling = typeof settledWindow;

/** Units by the time of their charge, as a plain list: what the window must never lose sight of. */
interface Used {
  readonly atUs: number;
  units: number;
}

/** True when some claim is admitted though more than the limit was used within a window before it. */
function overAdmits(settling: Settling, events: readonly Event[], settlesTwice = false): boolean {
  let nowUs = startUs;
  let window: SlottedWindow = emptyWindow(lengthUs, nowUs);
  const claims: (Charged & { readonly used: Used })[] = [];
  const used: Used[] = [];
  for (const event of events) {
    if (event.kind === 'wait') nowUs += event.us;
    else if (event.kind === 'claim') {
      const { admitted, windows } = claimWindows([window], [{ units: event.units, limit }], nowUs);
      window = windows[0] ?? window;
      if (!admitted) continue;
      const charged = { atUs: nowUs, units: event.units };
      used.push(charged);
      claims.push({ slot: chargedSlot(window, event.units), isSettled: false, used: charged });
      const inWindow = used.filter(({ atUs }) => atUs > nowUs - lengthUs);
      if (inWindow.reduce((sum, { units }) => sum + units, 0) > limit) return true;
    } else {
      const claim = claims.at(-event.claimsAgo);
      if (claim === undefined || (claim.isSettled && !settlesTwice)) continue;
      const units = Math.floor((claim.slot.units * event.used) / 10);
      window = settling(windowAt(window, nowUs), claim.slot, units, nowUs);
      if (!claim.isSettled) {
        if (units > claim.slot.units) used.push({ atUs: nowUs, units: units - claim.slot.units });
        else claim.used.units = units;
      }
      claim.isSettled = true;
    }
  }
  return false;
}

/** Gives back to the slot that is newest, whichever was charged. */
const toTheNewest: Settling = (window, charged, used, nowUs) => {
  const { slot } = chargedSlot(chargedWindow(window, 1, nowUs), 1);
  const { newest } = window;
  const back = Math.min(charged.units - used, newest.units);
  if (back <= 0 || slot === charged.slot) return settledWindow(window, charged, used, nowUs);
  return {
    ...window,
    total: window.total - back,
    newest: { ...newest, units: newest.units - back },
  };
};

/** Gives back though the slot has left, to whatever is oldest now. */
const toTheOldest: Settling = (window, charged, used, nowUs) => {
  const settled = settledWindow(window, charged, used, nowUs);
  if (settled !== window || used >= charged.units) return settled;
  const [oldest, ...rest] = window.older;
  if (oldest === undefined) return toTheNewest(window, { ...charged, slot: -1 }, used, nowUs);
  const back = Math.min(charged.units - used, oldest.units);
  const left = { ...oldest, units: oldest.units - back };
  return { ...window, total: window.total - back, older: left.units > 0 ? [left, ...rest] : rest };
};

/** Takes from the total what the slot no longer has. */
const fromTheTotal: Settling = (window, charged, used, nowUs) => {
  const settled = settledWindow(window, charged, used, nowUs);
  if (settled !== window || used >= charged.units) return settled;
  return { ...window, total: Math.max(0, window.total - (charged.units - used)) };
};

const isCaught = (settling: Settling, settlesTwice = false): boolean =>
  fc.check(
    fc.property(scenarios, (events) => !overAdmits(settling, events, settlesTwice)),
    { seed: 20_261_122, numRuns: 5000, endOnFailure: true },
  ).failed;

describe('any interleaving of claims, settlements and time', () => {
  it('never admits more than the limit beyond what was given back', () => {
    fc.assert(
      fc.property(scenarios, (events) => !overAdmits(settledWindow, events)),
      { numRuns: 5000 },
    );
  });

  it('keeps the total the sum of its slots, and no slot below nothing', () => {
    fc.assert(
      fc.property(scenarios, (events) => {
        let nowUs = startUs;
        let window = emptyWindow(lengthUs, nowUs);
        const slots: ChargedSlot[] = [];
        for (const event of events) {
          if (event.kind === 'wait') nowUs += event.us;
          window = windowAt(window, nowUs);
          if (event.kind === 'claim') {
            window = chargedWindow(window, event.units, nowUs);
            slots.push(chargedSlot(window, event.units));
          } else if (event.kind === 'settle') {
            const slot = slots.at(-event.claimsAgo);
            const used = Math.floor(((slot?.units ?? 0) * event.used) / 10);
            if (slot !== undefined) window = settledWindow(window, slot, used, nowUs);
          }
          const units = [...window.older, window.newest].map((slot) => slot.units);
          expect(window.total).toBe(units.reduce((sum, count) => sum + count, 0));
          expect(window.older.every((slot) => slot.units > 0) && window.newest.units >= 0).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['a refund into whichever slot is current', toTheNewest, false],
    ['a refund though the slot has left', toTheOldest, false],
    ['a refund from the total alone', fromTheTotal, false],
    ['a settlement without a tombstone', settledWindow, true],
  ])('catches %s', (_name, settling, settlesTwice) => {
    expect(isCaught(settling, settlesTwice)).toBe(true);
  });
});
