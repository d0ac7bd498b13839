import { setTimeout as sleep } from 'node:timers/promises';
import type { Events } from './events.ts';

/** Something that is started, and ends what it started. */
export interface LifecyclePart<Started> {
  readonly name: string;
  /** Rejects: the program can not run. The signal aborts when the program is to stop meanwhile. */
  readonly start: (signal: AbortSignal) => Started | Promise<Started>;
  /** Ends it in good order; when the signal aborts, at once. */
  readonly stop?: (started: Started, signal: AbortSignal) => void | Promise<void>;
}

export interface LifecycleOptions {
  /** For all parts together, in milliseconds. */
  readonly stopTimeoutMs: number;
  readonly events: Pick<Events, 'stopping' | 'stopFailed' | 'stopTimedOut' | 'stopped'>;
  /** In milliseconds, from any start. */
  readonly now: () => number;
}

export interface Lifecycle {
  /** Starts the next part. Rejects with what its start threw, or with `signal.reason` once stopping began. */
  readonly start: <Started>(part: LifecyclePart<Started>) => Promise<Started>;
  /** Stops what was started, last first. Asked again, gives the same promise; never rejects. */
  readonly stop: (reason: string) => Promise<void>;
  /** Aborts when stopping begins. */
  readonly signal: AbortSignal;
  /** Resolves when everything has stopped. */
  readonly stopped: Promise<void>;
}

/** What a part has after its signal aborts: connections that are cut off take some turns to be gone. */
const letGoMs = 100;

/** Starts in order, stops in reverse, within one deadline. Knows nothing of signals and exit codes: that is `runProgram`. */
export function createLifecycle(options: LifecycleOptions): Lifecycle {
  const { events, now, stopTimeoutMs } = options;
  const stopBegins = new AbortController();
  const started: { readonly name: string; readonly stop: (signal: AbortSignal) => void | Promise<void> }[] =
    [];
  /** The start under way, so that what comes of it is stopped too. */
  let starting: Promise<unknown> = Promise.resolve();
  let stopping: Promise<void> | undefined;
  let resolveStopped: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => {
    resolveStopped = resolve;
  });

  async function start<Started>(part: LifecyclePart<Started>): Promise<Started> {
    stopBegins.signal.throwIfAborted();
    const result = (async () => part.start(stopBegins.signal))();
    starting = result.catch(() => undefined);
    const value = await result;
    started.push({ name: part.name, stop: (signal) => part.stop?.(value, signal) });
    stopBegins.signal.throwIfAborted();
    return value;
  }

  async function stopAll(reason: string): Promise<void> {
    const beganAtMs = now();
    events.stopping({ reason });
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), stopTimeoutMs);
    const late = new Promise<void>((resolve) => {
      deadline.signal.addEventListener('abort', () => resolve());
    });
    const cutOff: string[] = [];
    // `start` pushes what came of it in the turn after this settles.
    await Promise.race([starting.then(() => new Promise((resolve) => setImmediate(resolve))), late]);
    for (let part = started.pop(); part !== undefined; part = started.pop()) {
      const { name, stop } = part;
      let isDone = false;
      const done = (async () => stop(deadline.signal))()
        .catch((error: unknown) => events.stopFailed({ part: name, error }))
        .finally(() => {
          isDone = true;
        });
      await Promise.race([done, late]);
      if (!isDone) await Promise.race([done, sleep(letGoMs)]);
      if (!isDone) cutOff.push(name);
    }
    clearTimeout(timer);
    if (cutOff.length > 0) events.stopTimedOut({ parts: cutOff });
    events.stopped({ durationMs: Math.round(now() - beganAtMs) });
    resolveStopped();
  }

  return {
    start,
    stop(reason) {
      if (stopping === undefined) {
        stopBegins.abort();
        stopping = stopAll(reason);
      }
      return stopping;
    },
    signal: stopBegins.signal,
    stopped,
  };
}
