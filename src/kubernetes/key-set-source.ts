import { type DependencyError, isDependencyError } from '../dependency-error.ts';

export interface KeySetSourceOptions<Keys> {
  /** Throws DependencyError when nobody could tell. */
  readonly fetch: () => Promise<Keys>;
  readonly now: () => number;
}

/** Keys that are fetched seldom and shared by all. */
export interface KeySetSource<Keys> {
  /** The last that could be fetched. Starts a fetch behind the caller's back when they are old. */
  readonly current: () => Keys | undefined;
  /** What is being fetched at this moment, if anything is. */
  readonly pending: () => Promise<Keys | undefined> | undefined;
  /**
   * Keys of a fetch that begins after this call, at once or when the last one is long enough ago; all who call
   * before it begins share it. Undefined: it failed.
   */
  readonly next: () => Promise<Keys | undefined>;
  /** Why the last fetch failed; undefined if it did not. */
  readonly fault: () => DependencyError | undefined;
}

/**
 * However many unknown keys are named: one fetch in this time. Well below the deadline of a Check, so that whoever
 * names one is told in time that it is none.
 */
const intervalMs = 100;
const refreshMs = 5 * 60_000;
const retryMs = 10_000;

export function createKeySetSource<Keys>(options: KeySetSourceOptions<Keys>): KeySetSource<Keys> {
  const { fetch, now } = options;
  let keys: Keys | undefined;
  let fault: DependencyError | undefined;
  let dueAtMs = Number.POSITIVE_INFINITY;
  let begunAtMs = Number.NEGATIVE_INFINITY;
  let pending: Promise<Keys | undefined> | undefined;
  let next: Promise<Keys | undefined> | undefined;

  async function load(): Promise<Keys | undefined> {
    begunAtMs = now();
    try {
      const fetched = await fetch();
      keys = fetched;
      fault = undefined;
      dueAtMs = now() + refreshMs;
      return fetched;
    } catch (error) {
      if (!isDependencyError(error)) throw error;
      fault = error;
      dueAtMs = now() + retryMs;
      return undefined;
    } finally {
      pending = undefined;
    }
  }

  function begin(): Promise<Keys | undefined> {
    next = undefined;
    pending = load();
    return pending;
  }

  async function beginInTime(): Promise<Keys | undefined> {
    await pending;
    // A clock that was set back must not make it longer.
    const waitMs = Math.min(intervalMs, begunAtMs + intervalMs - now());
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    return begin();
  }

  function ask(): Promise<Keys | undefined> {
    if (pending === undefined && now() - begunAtMs >= intervalMs) return begin();
    next ??= beginInTime();
    return next;
  }

  return {
    current: () => {
      if (now() >= dueAtMs) {
        dueAtMs = now() + retryMs;
        void ask();
      }
      return keys;
    },
    pending: () => pending,
    next: ask,
    fault: () => fault,
  };
}
