import { isDependencyError } from '../dependency-error.ts';
import { type Denied, denied } from './outcome.ts';
import { isOverBudget } from './review-budget.ts';

/** The denial of a stage that could not tell; of one that was not allowed to ask, `overloaded`. */
export function couldNotTell(
  reason: 'identity_unavailable' | 'access_unavailable',
  detail: string,
  cause: unknown = 'the deadline of the check ran out',
): Denied {
  const retryAfterMs = isDependencyError(cause) ? (cause.retryAfterMs ?? 1000) : 1000;
  if (!isOverBudget(cause)) return denied(reason, detail, { retryAfterMs, cause });
  return denied('overloaded', 'Too many requests are being looked at right now.', { retryAfterMs, cause });
}
