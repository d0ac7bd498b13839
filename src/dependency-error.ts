/**
 * Why a dependency could not answer.
 *
 * - `timeout`: no answer within the deadline
 * - `unreachable`: refused, reset, no route, connection lost
 * - `overloaded`: it asked us to wait (429), or our own budget for it is spent
 * - `malformed`: an answer that is not what its API promises
 * - `failed`: it answered that it failed (5xx)
 * - `misconfigured`: it refused *us* (401, 403): waiting does not help and nothing stale may be served
 */
export type DependencyFault =
  | 'timeout'
  | 'unreachable'
  | 'overloaded'
  | 'malformed'
  | 'failed'
  | 'misconfigured';

export interface DependencyErrorOptions {
  /** The original error. For the log only, never for a client. */
  readonly cause?: unknown;
  /** Words for the log. Must not hold anything secret. */
  readonly detail?: string;
  /** How long the dependency asked us to wait, if it said. */
  readonly retryAfterMs?: number;
}

/**
 * "Could not tell": thrown by systems, met by the stage that asked. Neither a refusal (those are values)
 * nor a bug (any other exception). Never remembered by a cache.
 */
export class DependencyError extends Error {
  readonly dependency: string;
  readonly code: DependencyFault;
  readonly retryAfterMs: number | undefined;

  constructor(dependency: string, code: DependencyFault, options: DependencyErrorOptions = {}) {
    const detail = options.detail === undefined ? '' : `: ${options.detail}`;
    super(`${dependency} ${code}${detail}`, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'DependencyError';
    this.dependency = dependency;
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

export function isDependencyError(error: unknown): error is DependencyError {
  return error instanceof DependencyError;
}
