import { DependencyError } from '../dependency-error.ts';

/** How long one call may take. */
export interface Wait {
  readonly signal: AbortSignal;
  readonly fault: () => DependencyError;
  readonly end: () => void;
}

/** One signal for both: our time-out and the caller's own. (AbortSignal.any holds on to long-lived signals.) */
export function createWait(timeoutMs: number, caller: AbortSignal | undefined): Wait {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, timeoutMs);
  if (caller?.aborted === true) abort();
  else caller?.addEventListener('abort', abort, { once: true });
  return {
    signal: controller.signal,
    fault: () =>
      new DependencyError('kubernetes', 'timeout', {
        detail: caller?.aborted === true ? 'the caller gave up' : `no answer within ${timeoutMs} ms`,
      }),
    end: () => {
      clearTimeout(timer);
      caller?.removeEventListener('abort', abort);
    },
  };
}

/** What was waited for goes on: others may wait for it too. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new DependencyError('kubernetes', 'timeout'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
