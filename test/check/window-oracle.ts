import * as fc from 'fast-check';
import {
  type claimWindows,
  type Demand,
  emptyWindow,
  type SlottedWindow,
  slotsPerWindow,
  type WindowsClaim,
} from '../../src/check/window.ts';

/** What happens to some windows, one after the other. Times in microseconds. */
export interface Scenario {
  readonly windows: readonly { readonly lengthUs: number; readonly limit: number | undefined }[];
  readonly events: readonly Event[];
}

export type Event =
  | { readonly kind: 'wait'; readonly us: number }
  /** Waits until the claim so many claims ago is a window old, give or take a microsecond. */
  | { readonly kind: 'due'; readonly claimsAgo: number; readonly window: number; readonly us: number }
  /** The clock is set to another time; nothing else happens. */
  | { readonly kind: 'step'; readonly us: number }
  /** Units for each window; what is missing is 0. */
  | { readonly kind: 'claim'; readonly units: readonly number[] }
  | { readonly kind: 'limit'; readonly window: number; readonly limit: number };

const startUs = 1_750_000_000_000_000;
const lengthUs = 2_000_000;
const slotUs = lengthUs / slotsPerWindow;

/** Times at which mistakes show: at the edges of slots and windows, one microsecond to either side. */
const edges = [
  0,
  1,
  slotUs - 1,
  slotUs,
  lengthUs / 2,
  lengthUs - slotUs,
  lengthUs - 1,
  lengthUs,
  lengthUs + slotUs,
];

const wait = fc.record({
  kind: fc.constant('wait' as const),
  us: fc.oneof(
    { arbitrary: fc.constantFrom(...edges), weight: 2 },
    { arbitrary: fc.nat({ max: 2 * slotUs }), weight: 3 },
    { arbitrary: fc.nat({ max: 3 * lengthUs }), weight: 1 },
  ),
});

const due = fc.record({
  kind: fc.constant('due' as const),
  claimsAgo: fc.integer({ min: 1, max: 12 }),
  window: fc.nat({ max: 2 }),
  us: fc.integer({ min: -1, max: 1 }),
});

const step = fc.record({
  kind: fc.constant('step' as const),
  us: fc.oneof(
    fc.integer({ min: -lengthUs, max: lengthUs }),
    fc.integer({ min: -20 * lengthUs, max: 3 * lengthUs }),
  ),
});

const claim = fc.record({
  kind: fc.constant('claim' as const),
  units: fc.array(fc.oneof({ arbitrary: fc.constant(1), weight: 3 }, fc.nat({ max: 12 })), {
    minLength: 1,
    maxLength: 3,
  }),
});

const limitChange = fc.record({
  kind: fc.constant('limit' as const),
  window: fc.nat({ max: 2 }),
  limit: fc.integer({ min: 1, max: 12 }),
});

const windows = fc.array(
  fc.record({
    lengthUs: fc.constantFrom(lengthUs, lengthUs / 2, 3 * lengthUs),
    limit: fc.option(fc.integer({ min: 1, max: 10 }), { nil: undefined, freq: 6 }),
  }),
  { minLength: 1, maxLength: 3 },
);

const claims = { arbitrary: claim, weight: 5 };
const waits = { arbitrary: fc.oneof(wait, due), weight: 5 };
/** `max`: the default would end most scenarios before a slot leaves. */
const length = { minLength: 5, maxLength: 60, size: 'max' } as const;

/** A clock that only ever runs. */
export const steadyScenarios: fc.Arbitrary<Scenario> = fc.record({
  windows,
  events: fc.array(fc.oneof(claims, waits, limitChange), length),
});

/** A clock that is also set back and forward, by more than a window too. */
export const steppedScenarios: fc.Arbitrary<Scenario> = fc.record({
  windows,
  events: fc.array(fc.oneof(claims, waits, step), length),
});

/** How much the clock shows to have passed with an event; `claimedAtUs` are the times of the claims so far. */
export function clockAdvanceUs(
  event: Event,
  scenario: Scenario,
  claimedAtUs: readonly number[],
  nowUs: number,
): number {
  if (event.kind === 'wait' || event.kind === 'step') return event.us;
  const atUs = event.kind === 'due' ? claimedAtUs.at(-event.claimsAgo) : undefined;
  if (event.kind !== 'due' || atUs === undefined) return 0;
  return Math.max(0, atUs + (scenario.windows[event.window]?.lengthUs ?? 0) + event.us - nowUs);
}

interface Charged {
  readonly atUs: number;
  readonly units: number;
}

/**
 * Plays a scenario and looks for what must not be, against a plain log of everything that was admitted.
 * Times in the log are those that have *passed*: a step forward counts (a clock says that time has passed),
 * a step back does not.
 */
export function findViolation(
  claimUnderTest: typeof claimWindows,
  scenario: Scenario,
  { isSteady }: { readonly isSteady: boolean },
): string | undefined {
  let nowUs = startUs;
  let passedUs = 0;
  let states = scenario.windows.map(({ lengthUs: us }) => emptyWindow(us, nowUs));
  const limits = scenario.windows.map(({ limit }) => limit);
  const logs: Charged[][] = scenario.windows.map(() => []);
  const claimedAtUs: number[] = [];

  /** Units admitted in the time that has passed since, the earliest instant left out. */
  const admittedIn = (window: number, us: number): number =>
    (logs[window] ?? []).reduce((sum, { atUs, units }) => (atUs > passedUs - us ? sum + units : sum), 0);

  for (const event of scenario.events) {
    const advanceUs = clockAdvanceUs(event, scenario, claimedAtUs, nowUs);
    nowUs += advanceUs;
    passedUs += Math.max(0, advanceUs);
    if (event.kind === 'limit' && limits[event.window] !== undefined) limits[event.window] = event.limit;
    if (event.kind !== 'claim') continue;
    claimedAtUs.push(nowUs);
    const demands = limits.map((limit, index): Demand => ({ limit, units: event.units[index] ?? 0 }));
    const claimed = claimUnderTest(states, demands, nowUs);
    const broken = claimed.windows.find((window) => !isWellFormed(window));
    if (broken !== undefined) return `not a window: ${JSON.stringify(broken)}`;
    for (const [index, { units, limit }] of demands.entries()) {
      const windowUs = scenario.windows[index]?.lengthUs ?? 0;
      if (claimed.admitted && units > 0) {
        logs[index]?.push({ atUs: passedUs, units });
        const admitted = admittedIn(index, windowUs);
        if (limit !== undefined && admitted > limit) return `${admitted} of ${limit} admitted in one window`;
      }
      const counted = claimed.windows[index]?.total ?? 0;
      if (counted < admittedIn(index, windowUs)) return 'units are forgotten before they are a window old';
      if (isSteady && counted > admittedIn(index, windowUs + windowUs / slotsPerWindow)) {
        return 'units count for more than a window and a slot, or were never admitted';
      }
    }
    if (!claimed.admitted) {
      const wrong = denialFault(claimUnderTest, claimed, demands, nowUs);
      if (wrong !== undefined) return wrong;
    }
    states = [...claimed.windows];
  }
  return undefined;
}

/** Retry-After is the first moment at which the claim fits: neither earlier nor later, and "never" is never. */
function denialFault(
  claimUnderTest: typeof claimWindows,
  { windows: states, retryAfterUs }: WindowsClaim,
  demands: readonly Demand[],
  nowUs: number,
): string | undefined {
  const canNeverFit = demands.some(({ units, limit }) => limit !== undefined && units > limit && units > 0);
  if (retryAfterUs === undefined) return canNeverFit ? undefined : 'denied for ever, though it fits some day';
  if (canNeverFit) return 'told to come back, though it never fits';
  if (retryAfterUs <= 0) return 'told to come back at once';
  if (!claimUnderTest(states, demands, nowUs + retryAfterUs).admitted) return 'told to come back too early';
  if (claimUnderTest(states, demands, nowUs + retryAfterUs - 1).admitted) return 'told to come back too late';
  return undefined;
}

function isWellFormed({ total, newest, older, lengthUs: us }: SlottedWindow): boolean {
  const slots = [...older, newest];
  const numbers = slots.map(({ stampUs }) => Math.floor(stampUs / (us / slotsPerWindow)));
  return (
    older.length <= slotsPerWindow &&
    older.every(({ units }) => units > 0) &&
    numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? number)) &&
    total === slots.reduce((sum, { units }) => sum + units, 0)
  );
}
