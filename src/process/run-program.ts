import type { Events } from './events.ts';
import { createLifecycle, type Lifecycle } from './lifecycle.ts';

/** What a program needs of the operating system's process. `process` itself, but for tests. */
export interface ProcessHost {
  readonly on: (event: ProcessEvent, listener: (value: unknown) => void) => void;
  readonly off: (event: ProcessEvent, listener: (value: unknown) => void) => void;
  /** Does not return in a real process. */
  readonly exit: (code: number) => void;
}

export type ProcessEvent = 'SIGTERM' | 'SIGINT' | 'uncaughtException' | 'unhandledRejection';

export interface RunProgramOptions {
  /** Wires and starts its parts, then returns; the program runs until it is told to stop. */
  readonly program: (lifecycle: Lifecycle) => Promise<void>;
  readonly events: Events;
  /** For all parts together, in milliseconds; less than what the pod is given (terminationGracePeriodSeconds). */
  readonly stopTimeoutMs: number;
  /** Writes out what the log still holds. */
  readonly flush: () => Promise<void>;
  readonly host: ProcessHost;
  /** In milliseconds, from any start. */
  readonly now: () => number;
}

/** sysexits.h: EX_SOFTWARE, an internal error. */
const crashExitCode = 70;

/** By shells' custom: 128 and the signal's number. */
const forcedExitCode = { SIGTERM: 143, SIGINT: 130 } as const;

/** After the deadline of stopping, for parts that were cut off and whatever still holds the event loop. */
const lastResortMs = 1000;

/**
 * A terminal sends Ctrl-C to the whole group, and npm forwards it once more: two signals this close are one
 * person's one wish.
 */
const sameWishMs = 200;

/** A log that nobody reads must not keep a process that is to end. */
const flushTimeoutMs = 500;

/**
 * Runs a program until a signal ends it. Resolves when all has stopped, and leaves the process to end by
 * itself, its event loop empty; only if something still holds that is it ended, at the deadline. A second
 * signal ends it at once. Rejects with what the program threw, after stopping what it had started. What
 * nobody caught is a bug: logged, then exit code 70, since nothing is known of the state that it leaves.
 */
export async function runProgram(options: RunProgramOptions): Promise<void> {
  const { events, flush, host, now, program, stopTimeoutMs } = options;
  const lifecycle = createLifecycle({ stopTimeoutMs, events, now });
  let isExiting = false;
  let signalledAtMs = 0;

  function exitSoon(code: number): void {
    if (isExiting) return;
    isExiting = true;
    const timer = setTimeout(() => host.exit(code), flushTimeoutMs);
    const exit = (): void => {
      clearTimeout(timer);
      host.exit(code);
    };
    flush().then(exit, exit);
  }

  function begin(reason: string): void {
    const lastResort = setTimeout(() => {
      events.forced({ reason: 'something still held the process after it had stopped' });
      exitSoon(1);
    }, stopTimeoutMs + lastResortMs);
    // Not what keeps it alive itself.
    lastResort.unref();
    void lifecycle.stop(reason);
  }

  function onSignal(signal: keyof typeof forcedExitCode): () => void {
    return () => {
      if (!lifecycle.signal.aborted) {
        signalledAtMs = now();
        begin(signal);
        return;
      }
      if (now() - signalledAtMs < sameWishMs) return;
      events.forced({ reason: `a second signal, ${signal}` });
      exitSoon(forcedExitCode[signal]);
    };
  }

  function onCrash(kind: string): (error: unknown) => void {
    return (error) => {
      events.crashed({ kind, error });
      exitSoon(crashExitCode);
    };
  }

  const listeners = [
    ['SIGTERM', onSignal('SIGTERM')],
    ['SIGINT', onSignal('SIGINT')],
    ['uncaughtException', onCrash('uncaught_exception')],
    ['unhandledRejection', onCrash('unhandled_rejection')],
  ] as const;
  for (const [event, listener] of listeners) host.on(event, listener);
  try {
    await program(lifecycle);
  } catch (error) {
    // Told to stop while it started: that is what it was told.
    if (!lifecycle.signal.aborted) {
      begin('start_failed');
      await lifecycle.stopped;
      throw error;
    }
  }
  await lifecycle.stopped;
}
