import type { Denied } from '../check/outcome.ts';
import { denialStatus } from '../check/denial.ts';

/** Why the console does not do what it was asked: its own words besides those of the table of denials. */
export type RefusalReason =
  | 'host_refused'
  | 'origin_refused'
  | 'csrf_missing'
  | 'session_missing'
  | 'console_forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'busy'
  | Denied['reason'];

export interface Refusal {
  readonly refused: true;
  readonly status: number;
  readonly reason: RefusalReason;
  /** One sentence for whoever asked: never a cause, never a secret. */
  readonly message: string;
  readonly retryAfterMs?: number;
}

const statusOf: Readonly<Record<Exclude<RefusalReason, Denied['reason']>, number>> = {
  /** RFC 9110 section 15.5.20: this server does not answer for that name. */
  host_refused: 421,
  origin_refused: 403,
  csrf_missing: 403,
  session_missing: 401,
  console_forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  busy: 429,
};

export function refusal(reason: keyof typeof statusOf, message: string): Refusal {
  return { refused: true, status: statusOf[reason], reason, message };
}

/** A denial of a stage or a port, as it is answered here. */
export function refusalFrom({ reason, detail, retryAfterMs }: Denied): Refusal {
  const { http } = denialStatus[reason];
  return {
    refused: true,
    status: http,
    reason,
    message: detail,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

export function isRefusal(value: object): value is Refusal {
  return 'refused' in value && value.refused === true;
}
