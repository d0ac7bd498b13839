import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { claimWindows, type SlottedWindow, slotsPerWindow, windowAt } from '../../src/check/window.ts';
import { findViolation, type Scenario, steadyScenarios, steppedScenarios } from './window-oracle.ts';

const runs = { numRuns: 2000 };

function property(
  claim: typeof claimWindows,
  scenarios: fc.Arbitrary<Scenario>,
  isSteady: boolean,
): fc.IProperty<[Scenario]> {
  return fc.property(scenarios, (scenario) => {
    expect(findViolation(claim, scenario, { isSteady })).toBeUndefined();
  });
}

/** True when some scenario shows that the implementation is wrong. */
function isCaught(claim: typeof claimWindows): boolean {
  // A seed of its own: whether a mutant is found must not change from day to day.
  const found = (scenarios: fc.Arbitrary<Scenario>, isSteady: boolean) =>
    fc.check(property(claim, scenarios, isSteady), { seed: 20_261_122, numRuns: 2000, endOnFailure: true });
  return found(steadyScenarios, true).failed || found(steppedScenarios, false).failed;
}

describe('any interleaving of claims and time', () => {
  it('never admits more than the limit in any window, and denies only what a slot more explains', () => {
    fc.assert(property(claimWindows, steadyScenarios, true), runs);
  });

  it('never admits more than the limit when the clock is set back and forward, by more than a window too', () => {
    fc.assert(property(claimWindows, steppedScenarios, false), runs);
  });
});

type Change = (window: SlottedWindow, nowUs: number) => SlottedWindow;

/** The real algorithm on windows that were changed before it sees them. */
const before =
  (change: Change): typeof claimWindows =>
  (windows, demands, nowUs) =>
    claimWindows(
      windows.map((window) => change(window, nowUs)),
      demands,
      nowUs,
    );

function withoutOldest(window: SlottedWindow): SlottedWindow {
  const [oldest, ...older] = window.older;
  return oldest === undefined ? window : { ...window, older, total: window.total - oldest.units };
}

/** Undoes the new stamp of a slot that had units before. */
function withFirstStamp(
  window: SlottedWindow,
  earlier: SlottedWindow | undefined,
  nowUs: number,
): SlottedWindow {
  const was = earlier === undefined ? undefined : windowAt(earlier, nowUs);
  if (was === undefined || was.newest.units === 0 || was.older !== window.older) return window;
  return { ...window, newest: { ...window.newest, stampUs: was.newest.stampUs } };
}

const slotNumber = (us: number, window: SlottedWindow) => Math.floor(us / (window.lengthUs / slotsPerWindow));

/** Each is a mistake that was made, or is easy to make. */
const mutants: Readonly<Record<string, typeof claimWindows>> = {
  'a slot released by its first stamp': (windows, demands, nowUs) => {
    const claimed = claimWindows(windows, demands, nowUs);
    const withFirstStamps = claimed.windows.map((window, index) =>
      withFirstStamp(window, windows[index], nowUs),
    );
    return { ...claimed, windows: withFirstStamps };
  },
  'a slot released by its number': before((window, nowUs) => {
    const [oldest] = window.older;
    const isOld =
      oldest !== undefined &&
      slotNumber(oldest.stampUs, window) <= slotNumber(nowUs, window) - slotsPerWindow;
    return isOld ? withoutOldest(window) : window;
  }),
  'the oldest slot interpolated': before((window, nowUs) => {
    const [oldest, ...older] = window.older;
    if (oldest === undefined) return window;
    const slotUs = window.lengthUs / slotsPerWindow;
    const share = Math.min(1, Math.max(0, (oldest.stampUs + window.lengthUs - nowUs) / slotUs));
    const units = Math.ceil(oldest.units * share);
    if (units === 0) return withoutOldest(window);
    return { ...window, older: [{ ...oldest, units }, ...older], total: window.total - oldest.units + units };
  }),
  'everything forgotten at a step back by more than a window': before((window, nowUs) =>
    nowUs + window.lengthUs < window.newest.stampUs
      ? { ...window, total: 0, newest: { stampUs: nowUs, units: 0 }, older: [] }
      : window,
  ),
  'released one microsecond early': before((window, nowUs) => windowAt(window, nowUs + 1)),
  'released one slot late': (windows, demands, nowUs) =>
    claimWindows(windows, demands, nowUs - (windows[0]?.lengthUs ?? 0) / slotsPerWindow - 1),
  'some charged though not all fit': (windows, demands, nowUs) => {
    const claimed = claimWindows(windows, demands, nowUs);
    if (claimed.admitted) return claimed;
    const [first, ...others] = demands;
    const alone = first && claimWindows(windows.slice(0, 1), [first], nowUs);
    return others.length > 0 && alone?.admitted === true
      ? { ...claimed, windows: [...alone.windows, ...claimed.windows.slice(1)] }
      : claimed;
  },
  'a shadow window that denies': (windows, demands, nowUs) =>
    claimWindows(
      windows,
      demands.map(({ units, limit }) => ({ units, limit: limit ?? 1 })),
      nowUs,
    ),
};

describe('the property test', () => {
  it.each(Object.entries(mutants))('catches %s', (name, claim) => {
    expect([name, isCaught(claim)]).toEqual([name, true]);
  });
});
