/**
 * The sliding window that never lets more than its limit pass in any time of its length, aligned or not.
 *
 * A window is cut into k = 20 slots. Units are counted in the slot in which they are charged, and a slot is
 * released as a whole once its *newest* stamp is one length old: a unit counts for one length at least, for
 * 21/20 of it at most. Interpolating the oldest slot, or releasing it by its first stamp, would be smoother
 * and lets 2L - 1 pass.
 *
 * The clock may be stepped. While it is behind the newest stamp by up to a length, the window stands still:
 * units go to the newest slot until the clock has caught up. A step back by more than a length starts an
 * epoch: everything still counted becomes one slot stamped now (or as far ahead as units may be), so that the
 * window is whole again within one length and a slot, and what was noted about older slots finds none of them. A step forward says that time has passed;
 * nobody could tell otherwise.
 *
 * All values are immutable, all times whole microseconds since 1970, all units whole numbers below 2^53. No
 * limit is part of a window: it can change between two claims, and holds for the next one.
 * The same algorithm runs on Redis (src/redis/reserve-script.ts); a test holds the two together.
 */
export const slotsPerWindow = 20;

/** Units are charged no further ahead than this, in microseconds: see `claimWindows`. */
export const maxAheadUs = 2_000_000;

/** Units that leave together. */
export interface Slot {
  /** When the last of them was charged. */
  readonly stampUs: number;
  readonly units: number;
}

export interface SlottedWindow {
  readonly lengthUs: number;
  /** With a slot's number it names a slot for good: neither comes again when the clock is stepped back. */
  readonly epoch: number;
  /** Units of all slots together. */
  readonly total: number;
  readonly newest: Slot;
  /** Oldest first; at most 20, none of them without units. */
  readonly older: readonly Slot[];
}

/** Where units were charged, for whoever gives some of them back later: to that slot, or not at all. */
export interface ChargedSlot {
  readonly epoch: number;
  readonly slot: number;
  readonly units: number;
}

export function emptyWindow(lengthUs: number, nowUs: number): SlottedWindow {
  return { lengthUs, epoch: nowUs, total: 0, newest: { stampUs: nowUs, units: 0 }, older: [] };
}

/** What still counts at that time. Charges nothing; must come before `chargedWindow`. */
export function windowAt(window: SlottedWindow, nowUs: number): SlottedWindow {
  const { lengthUs, epoch, total, newest, older } = window;
  if (nowUs + lengthUs < newest.stampUs) {
    return {
      lengthUs,
      epoch: Math.max(nowUs, epoch + 1),
      total,
      // Some may have been charged ahead, and be spent only now.
      newest: { stampUs: nowUs + Math.min(maxAheadUs, Math.floor(lengthUs / slotsPerWindow)), units: total },
      older: [],
    };
  }
  if (newest.stampUs + lengthUs <= nowUs) {
    return { lengthUs, epoch, total: 0, newest: { stampUs: nowUs, units: 0 }, older: [] };
  }
  let released = 0;
  let kept = total;
  for (const slot of older) {
    if (slot.stampUs + lengthUs > nowUs) break;
    released += 1;
    kept -= slot.units;
  }
  return released === 0 ? window : { lengthUs, epoch, total: kept, newest, older: older.slice(released) };
}

/** Charges units (at least 1) to a window that is as of `nowUs`, whether they fit or not. */
export function chargedWindow(window: SlottedWindow, units: number, nowUs: number): SlottedWindow {
  const { lengthUs, epoch, total, newest, older } = window;
  const stampUs = Math.max(nowUs, newest.stampUs);
  const opens = slotAt(stampUs, lengthUs) !== slotAt(newest.stampUs, lengthUs);
  return {
    lengthUs,
    epoch,
    total: total + units,
    newest: { stampUs, units: opens ? units : newest.units + units },
    older: opens && newest.units > 0 ? [...older, newest] : older,
  };
}

/** The slot that the units just charged are in. */
export function chargedSlot(window: SlottedWindow, units: number): ChargedSlot {
  return { epoch: window.epoch, slot: slotAt(window.newest.stampUs, window.lengthUs), units };
}

/**
 * When that many units fit under the limit if nothing else is charged: a time at or before the window's own
 * if they fit already, undefined if they never can.
 */
function fitsAtUs(window: SlottedWindow, units: number, limit: number): number | undefined {
  if (units > limit) return undefined;
  let excess = window.total + units - limit;
  if (excess <= 0) return 0;
  for (const slot of window.older) {
    excess -= slot.units;
    if (excess <= 0) return slot.stampUs + window.lengthUs;
  }
  return window.newest.stampUs + window.lengthUs;
}

/** How long until nothing counts any more if nothing else is charged. */
export function resetAfterUs(window: SlottedWindow, nowUs: number): number {
  return window.total === 0 ? 0 : window.newest.stampUs + window.lengthUs - nowUs;
}

/**
 * Units that were charged turn out to be another number, `used`. Fewer: the rest goes back to the slot that it was
 * charged in, and nowhere if that slot has left; given back to another, it would make room for units that the
 * window must not hold yet. More: charged now, whether they fit or not. The window must be as of `nowUs`.
 */
export function settledWindow(
  window: SlottedWindow,
  charged: ChargedSlot,
  used: number,
  nowUs: number,
): SlottedWindow {
  if (used > charged.units) return chargedWindow(window, used - charged.units, nowUs);
  const { lengthUs, epoch, newest, older } = window;
  if (used === charged.units || epoch !== charged.epoch) return window;
  const isCharged = ({ stampUs }: Slot) => slotAt(stampUs, lengthUs) === charged.slot;
  const slot = isCharged(newest) ? newest : older.find(isCharged);
  if (slot === undefined) return window;
  const back = Math.min(charged.units - used, slot.units);
  const left = { stampUs: slot.stampUs, units: slot.units - back };
  return {
    lengthUs,
    epoch,
    total: window.total - back,
    newest: slot === newest ? left : newest,
    older: older.flatMap((other) => (other !== slot ? [other] : left.units === 0 ? [] : [left])),
  };
}

/** What one window is asked for. */
export interface Demand {
  /** Whole; 0 looks only, and always fits. */
  readonly units: number;
  /** undefined: the window counts what is admitted and never denies. */
  readonly limit: number | undefined;
  /**
   * The limit denies nothing; it is told whether it would have. All such windows of a claim together are charged with
   * what all of them have room for, as if they were in force: otherwise a limit that is tried out would look fuller
   * than it would ever be.
   */
  readonly isShadow?: boolean;
}

export interface WindowsClaim {
  readonly admitted: boolean;
  /** When admitted: whether the windows of shadow demands were left out, since one of them had no room. */
  readonly leftOut: boolean;
  /**
   * In the order of the demands: charged when admitted, otherwise as they stand. To be kept either way, since
   * an epoch may have begun; one that begins anew with each denial would never end.
   */
  readonly windows: readonly SlottedWindow[];
  /** When denied: how long until all demands fit, or undefined if they never can. */
  readonly retryAfterUs: number | undefined;
  /** When admitted: how far ahead of `nowUs` it was charged. */
  readonly aheadUs: number;
}

/**
 * Charges every demand to its window, or none.
 *
 * `aheadUs`: as of a time so far ahead, and no further than to the end of the slots that are current. Units that are
 * charged so may be spent until that time, and still count for a length from when they were spent; with a later slot's
 * time, this slot would end early for everybody else.
 */
export function claimWindows(
  windows: readonly SlottedWindow[],
  demands: readonly Demand[],
  nowUs: number,
  aheadUs = 0,
): WindowsClaim {
  const current = windows.map((window) => windowAt(window, nowUs));
  let fitsUs: number | undefined = 0;
  let leftOut = false;
  for (const [index, window] of current.entries()) {
    const { units, limit, isShadow } = demandAt(demands, index);
    if (units === 0 || limit === undefined) continue;
    if (isShadow === true) {
      leftOut ||= window.total + units > limit;
      continue;
    }
    const atUs = fitsAtUs(window, units, limit);
    // A window that can never hold its demand outweighs all that only need time.
    fitsUs = fitsUs === undefined || atUs === undefined ? undefined : Math.max(fitsUs, atUs);
  }
  const denied = { admitted: false, leftOut: false, windows: current, aheadUs: 0 };
  if (fitsUs === undefined) return { ...denied, retryAfterUs: undefined };
  if (fitsUs > 0) return { ...denied, retryAfterUs: fitsUs - nowUs };
  const atUs =
    aheadUs === 0
      ? nowUs
      : Math.min(nowUs + Math.min(aheadUs, maxAheadUs), ...current.map((window) => slotEndUs(window, nowUs)));
  const charged = current.map((window, index) => {
    const { units, isShadow } = demandAt(demands, index);
    return units === 0 || (isShadow === true && leftOut) ? window : chargedWindow(window, units, atUs);
  });
  return { admitted: true, leftOut, windows: charged, retryAfterUs: undefined, aheadUs: atUs - nowUs };
}

/** The last microsecond of the slot that units would be charged to now. */
function slotEndUs({ lengthUs, newest }: SlottedWindow, nowUs: number): number {
  const slotUs = lengthUs / slotsPerWindow;
  return Math.ceil((slotAt(Math.max(nowUs, newest.stampUs), lengthUs) + 1) * slotUs) - 1;
}

function demandAt(demands: readonly Demand[], index: number): Demand {
  const demand = demands[index];
  if (demand === undefined) throw new RangeError('each window needs its demand');
  return demand;
}

/** Exact for every whole number below 2^53, so that Lua's doubles name the same slot. */
function slotAt(stampUs: number, lengthUs: number): number {
  return Math.floor(stampUs / (lengthUs / slotsPerWindow));
}
