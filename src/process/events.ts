import type { Log } from './log.ts';

/** What happens to a process besides requests: one function an event, few values in every field. */
export interface Events {
  readonly started: (fields: { readonly program: string; readonly version: string }) => void;
  /** `listener` is the key of the process file: `grpc`, `ops`. */
  readonly listening: (fields: { readonly listener: string; readonly address: string }) => void;
  readonly ready: () => void;
  readonly policyLoaded: (fields: {
    readonly generation: number;
    readonly tiers: number;
    readonly warnings: readonly string[];
  }) => void;
  /** The document is bad, and what was in force stays so. */
  readonly policyRefused: (fields: { readonly mistakes: readonly unknown[] }) => void;
  /** The list of `tiergate deny` was read; entries that have ended do not count. */
  readonly deniedList: (fields: { readonly entries: number }) => void;
  readonly watchUp: (fields: { readonly resource: string }) => void;
  readonly watchDown: (fields: { readonly resource: string; readonly error: unknown }) => void;
  /** A part does without what it depends on. */
  readonly degraded: (fields: { readonly part: string; readonly detail: string }) => void;
  readonly recovered: (fields: { readonly part: string }) => void;
  /** An operator should change something; the process goes on. */
  readonly advice: (fields: { readonly words: string }) => void;
  /** A worker process ended that was not told to; another one takes its place. */
  readonly workerGone: (fields: {
    readonly worker: number;
    readonly code: number;
    readonly signal: string | null;
  }) => void;
  /** Its event loop does not turn any more: it is ended. */
  readonly workerSilent: (fields: { readonly worker: number; readonly seconds: number }) => void;
  readonly stopping: (fields: { readonly reason: string }) => void;
  readonly stopFailed: (fields: { readonly part: string; readonly error: unknown }) => void;
  /** What was not done by the deadline is cut off. */
  readonly stopTimedOut: (fields: { readonly parts: readonly string[] }) => void;
  readonly stopped: (fields: { readonly durationMs: number }) => void;
  readonly forced: (fields: { readonly reason: string }) => void;
  /** A bug: the process ends with exit code 70. */
  readonly crashed: (fields: { readonly kind: string; readonly error: unknown }) => void;
}

export function createEvents(log: Log): Events {
  return {
    started: (fields) => log.info('started', fields),
    listening: (fields) => log.info('listening', fields),
    ready: () => log.info('ready'),
    policyLoaded: (fields) => log.info('policy_loaded', fields),
    policyRefused: (fields) => log.warn('policy_refused', fields),
    deniedList: (fields) => log.info('denied_list', fields),
    watchUp: (fields) => log.info('watch_up', fields),
    watchDown: (fields) => log.warn('watch_down', fields),
    degraded: (fields) => log.warn('degraded', fields),
    recovered: (fields) => log.info('recovered', fields),
    advice: (fields) => log.warn('advice', fields),
    workerGone: (fields) => log.error('worker_gone', fields),
    workerSilent: (fields) => log.error('worker_silent', fields),
    stopping: (fields) => log.info('stopping', fields),
    stopFailed: (fields) => log.warn('stop_failed', fields),
    stopTimedOut: (fields) => log.warn('stop_timed_out', fields),
    stopped: (fields) => log.info('stopped', fields),
    forced: (fields) => log.warn('forced', fields),
    crashed: (fields) => log.error('crashed', fields),
  };
}
