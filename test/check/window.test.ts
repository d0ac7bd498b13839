import { describe, expect, it } from 'vitest';
import {
  chargedSlot,
  chargedWindow,
  claimWindows,
  emptyWindow,
  resetAfterUs,
  type SlottedWindow,
  windowAt,
} from '../../src/check/window.ts';

const secondUs = 1_000_000;
const lengthUs = 20 * secondUs;
const slotUs = secondUs;
/** The beginning of a slot. */
const startUs = 1_750_000_000 * secondUs;

/** One window with a clock and a limit of its own. */
function setUp({ limit = 10 }: { readonly limit?: number } = {}) {
  let window = emptyWindow(lengthUs, startUs);
  const claim = (atUs: number, units = 1, under = limit) => {
    const claimed = claimWindows([window], [{ units, limit: under }], startUs + atUs);
    window = claimed.windows[0] ?? window;
    return claimed;
  };
  return {
    claim,
    /** How many of `wanted` single units are admitted at that time. */
    admitted: (atUs: number, wanted: number) =>
      Array.from({ length: wanted }, () => claim(atUs).admitted).filter(Boolean).length,
    window: (): SlottedWindow => window,
  };
}

describe('a slotted window', () => {
  it('admits the limit at once, and the limit again exactly one length later', () => {
    const { admitted } = setUp();
    expect(admitted(0, 15)).toBe(10);
    expect(admitted(lengthUs - 1, 5)).toBe(0);
    expect(admitted(lengthUs, 15)).toBe(10);
  });

  it('releases a slot as a whole once its newest unit is one length old', () => {
    const { claim, admitted } = setUp();
    claim(0, 9);
    claim(slotUs - 1, 1);
    expect(admitted(lengthUs, 1)).toBe(0);
    expect(admitted(lengthUs + slotUs - 2, 1)).toBe(0);
    expect(admitted(lengthUs + slotUs - 1, 11)).toBe(10);
  });

  it('lets a steady caller have at least 95 % of the limit', () => {
    const { claim } = setUp({ limit: 1000 });
    let admitted = 0;
    // 1.2 times the limit, over ten lengths after the first.
    for (let atUs = 0; atUs < 11 * lengthUs; atUs += Math.floor(lengthUs / 1200)) {
      if (claim(atUs).admitted && atUs >= lengthUs) admitted += 1;
    }
    expect(admitted / 10_000).toBeGreaterThan(0.95);
    expect(admitted / 10_000).toBeLessThanOrEqual(1);
  });

  it('holds at most 20 older slots, however long it is used', () => {
    const { claim, window } = setUp({ limit: 1_000_000 });
    for (let atUs = 0; atUs < 5 * lengthUs; atUs += slotUs / 3) claim(Math.floor(atUs));
    expect(window().older.length).toBeLessThanOrEqual(20);
  });

  it('obeys a raised or lowered limit with the next claim', () => {
    const { claim } = setUp();
    expect(claim(0, 10).admitted).toBe(true);
    expect(claim(1, 1, 10).admitted).toBe(false);
    expect(claim(1, 1, 11).admitted).toBe(true);
    expect(claim(2, 1, 5).admitted).toBe(false);
  });

  it('says when a denied claim fits: when enough of the oldest slots have left', () => {
    const { claim } = setUp();
    claim(0, 4);
    claim(5 * slotUs, 4);
    claim(9 * slotUs, 2);
    expect(claim(10 * slotUs, 1).retryAfterUs).toBe(lengthUs - 10 * slotUs);
    expect(claim(10 * slotUs, 4).retryAfterUs).toBe(lengthUs - 10 * slotUs);
    expect(claim(10 * slotUs, 5).retryAfterUs).toBe(lengthUs - 5 * slotUs);
    expect(claim(10 * slotUs, 10).retryAfterUs).toBe(lengthUs - slotUs);
  });

  it('never fits more than the limit, and says so by naming no time', () => {
    const { claim } = setUp();
    expect(claim(0, 11)).toMatchObject({ admitted: false, retryAfterUs: undefined });
    expect(claim(0, 10).admitted).toBe(true);
  });

  it('looks for nothing: a claim of 0 is admitted by a full window and changes nothing', () => {
    const { claim, window } = setUp();
    claim(0, 10);
    const full = window();
    expect(claim(1, 0).admitted).toBe(true);
    expect(claim(1, 0, 3).admitted).toBe(true);
    expect(window()).toBe(full);
  });

  it('is whole again when its newest unit has left', () => {
    const { claim, window } = setUp();
    expect(resetAfterUs(window(), startUs)).toBe(0);
    claim(0, 3);
    claim(7 * slotUs, 1);
    expect(resetAfterUs(window(), startUs + 8 * slotUs)).toBe(lengthUs - slotUs);
  });
});

describe('several windows', () => {
  const minute = emptyWindow(60 * secondUs, startUs);
  const second = emptyWindow(secondUs, startUs);

  it('are charged together', () => {
    const { admitted, windows } = claimWindows(
      [minute, second],
      [
        { units: 2, limit: 10 },
        { units: 3, limit: 3 },
      ],
      startUs,
    );
    expect(admitted).toBe(true);
    expect(windows.map(({ total }) => total)).toEqual([2, 3]);
  });

  it('are not charged at all when one of them has no room', () => {
    const demands = [
      { units: 1, limit: 10 },
      { units: 4, limit: 3 },
    ];
    const { admitted, windows } = claimWindows([minute, second], demands, startUs);
    expect(admitted).toBe(false);
    expect(windows.map(({ total }) => total)).toEqual([0, 0]);
  });

  it('name the latest time of those that need time', () => {
    const full = claimWindows(
      [minute, second],
      [
        { units: 1, limit: 1 },
        { units: 1, limit: 1 },
      ],
      startUs,
    );
    const again = claimWindows(
      full.windows,
      [
        { units: 1, limit: 1 },
        { units: 1, limit: 1 },
      ],
      startUs + 5,
    );
    expect(again.retryAfterUs).toBe(60 * secondUs - 5);
  });

  it('name no time when one of them can never hold its units', () => {
    const full = claimWindows([minute, second], [{ units: 1, limit: 1 }, noDemand], startUs);
    const demands = [
      { units: 1, limit: 1 },
      { units: 2, limit: 1 },
    ];
    expect(claimWindows(full.windows, demands, startUs)).toMatchObject({
      admitted: false,
      retryAfterUs: undefined,
    });
  });

  it('count without denying where no limit is enforced, and only what was admitted', () => {
    const shadow = { units: 1, limit: undefined };
    let windows: readonly SlottedWindow[] = [minute, second];
    for (let count = 0; count < 5; count += 1) {
      ({ windows } = claimWindows(windows, [{ units: 1, limit: 3 }, shadow], startUs + count));
    }
    expect(windows.map(({ total }) => total)).toEqual([3, 3]);
  });
});

const noDemand = { units: 0, limit: undefined };

describe('a window whose clock is set', () => {
  it('stands still while the clock is back by up to a length, and goes on when it has caught up', () => {
    const { claim, admitted } = setUp();
    claim(lengthUs, 9);
    expect(admitted(slotUs, 5)).toBe(1);
    // The unit charged at the earlier time counts as long as those before it.
    expect(admitted(2 * lengthUs - 1, 5)).toBe(0);
    expect(admitted(2 * lengthUs, 15)).toBe(10);
  });

  it('tells how long until it fits in the time of the clock as it is now', () => {
    const { claim } = setUp();
    claim(lengthUs, 10);
    expect(claim(lengthUs - slotUs, 1).retryAfterUs).toBe(lengthUs + slotUs);
  });

  it('is whole within one length and a slot after a step back by more than that', () => {
    const { claim, admitted } = setUp();
    claim(1000 * lengthUs, 10);
    expect(admitted(0, 3)).toBe(0);
    expect(admitted(lengthUs + slotUs - 1, 3)).toBe(0);
    expect(admitted(lengthUs + slotUs, 15)).toBe(10);
  });

  it('charges ahead as far as it may, and no further than its slots go', () => {
    const window = emptyWindow(lengthUs, startUs);
    const ahead = (us: number) => {
      const { windows, aheadUs } = claimWindows([window], [{ units: 1, limit: 1 }], startUs, us);
      return [aheadUs, (windows[0]?.newest.stampUs ?? 0) - startUs];
    };
    expect(ahead(0)).toEqual([0, 0]);
    expect(ahead(1000)).toEqual([1000, 1000]);
    expect(ahead(10 * lengthUs)).toEqual([slotUs - 1, slotUs - 1]);
    const long = [emptyWindow(1000 * lengthUs, startUs)];
    expect(claimWindows(long, [{ units: 1, limit: 1 }], startUs, 10 * lengthUs).aheadUs).toBe(2_000_000);
  });

  it('names slots so that none is taken for an older one after a step back', () => {
    const charged = chargedWindow(emptyWindow(lengthUs, startUs), 1, startUs);
    const later = chargedWindow(charged, 1, startUs + 3 * lengthUs);
    const back = chargedWindow(windowAt(later, startUs), 2, startUs);
    expect(chargedSlot(charged, 1)).toEqual({ epoch: startUs, slot: startUs / slotUs, units: 1 });
    expect(chargedSlot(back, 2).slot).toBe(chargedSlot(charged, 1).slot + 1);
    expect(chargedSlot(back, 2).epoch).not.toBe(chargedSlot(charged, 1).epoch);
  });

  it('names the slot it stands still in', () => {
    const charged = chargedWindow(emptyWindow(lengthUs, startUs), 1, startUs);
    const back = chargedWindow(windowAt(charged, startUs - slotUs), 1, startUs - slotUs);
    expect(chargedSlot(back, 1)).toEqual(chargedSlot(charged, 1));
  });
});
