import type { MetadataScalar } from '../check/check-input.ts';
import type { ReservationEnd } from './settle-reservation.ts';
import type { Usage } from './usage.ts';

/** The end of a request, as one of the channels tells it. */
export interface RequestEnd {
  /** What Check told Envoy: `reservation_id`, `user`, `tier`, `model`, `reserved_tokens`. */
  readonly granted: ReadonlyMap<string, MetadataScalar>;
  readonly usage: Usage | undefined;
  /** Of the answer towards the client; undefined or 0: there was none. */
  readonly status: number | undefined;
  /** Of the answer's body, as sent to the client. */
  readonly responseBytes: number;
}

/**
 * What a model may have worked for although the answer is an error: a time-out of the gateway's or the client's (RFC 9110
 * sections 15.5.9 and 15.6.5; 499 is nginx's).
 */
const timeouts: ReadonlySet<number> = new Set([408, 499, 504]);

/** undefined for a request that had no reservation. An error as an answer used nothing, unless it says what it used. */
export function reservationEnd(end: RequestEnd): ReservationEnd | undefined {
  const { granted, usage, status = 0, responseBytes } = end;
  const reservationId = textOf(granted, 'reservation_id');
  if (reservationId === undefined) return undefined;
  return {
    reservationId,
    usage,
    isUnserved: status >= 400 && !timeouts.has(status),
    responseBytes,
    subject: textOf(granted, 'user'),
    tier: textOf(granted, 'tier'),
    model: textOf(granted, 'model'),
    reservedTokens: numberOf(granted, 'reserved_tokens'),
  };
}

function textOf(granted: RequestEnd['granted'], key: string): string | undefined {
  const value = granted.get(key);
  return typeof value === 'string' ? value : undefined;
}

/** Text where it came through headers: from the HTTP door. */
function numberOf(granted: RequestEnd['granted'], key: string): number | undefined {
  const value = granted.get(key);
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' ? number : undefined;
}
