import type { AccessLogEntry } from '../check/access-log-entry.ts';
import type { MetadataScalar } from '../check/check-input.ts';
import type { ReservationEnd } from './settle-reservation.ts';
import { usageFromCounts } from './usage.ts';

/** An entry of Envoy's access log → the end of a reservation; undefined for a request that had none. */
export function reservationEndFrom(entry: AccessLogEntry): ReservationEnd | undefined {
  const { granted, usage, details, responseBytes } = entry;
  const reservationId = text(granted.get('reservation_id'));
  if (reservationId === undefined) return undefined;
  return {
    reservationId,
    usage: usageFromCounts((name) => number(usage.get(name))),
    isUnserved: isUnserved(details),
    responseBytes,
    subject: text(granted.get('user')),
    tier: text(granted.get('tier')),
    model: text(granted.get('model')),
    reservedTokens: number(granted.get('reserved_tokens')),
  };
}

/** Envoy's own words for a response that it made without having sent the request to anybody. */
const neverSent: ReadonlySet<string> = new Set([
  'no_healthy_upstream',
  'cluster_not_found',
  'no_cluster_info',
  'route_not_found',
  'direct_response',
  'maintenance_mode',
  'request_rate_limited',
  'request_payload_too_large',
]);

/** Of `upstream_reset_before_response_started{...}`: no connection was there to send it by. */
const neverConnected = /^upstream_reset_before_response_started\{(?:\w*connection_failure|overflow)\b/;

/**
 * Whether Envoy says that no model ever got the request (response code details of its documentation). In doubt it did: a
 * time-out, a reset and a client that left say nothing of what the model has done by then.
 */
export function isUnserved(details: string): boolean {
  return neverSent.has(details) || neverConnected.test(details) || details.startsWith('rbac_access_denied');
}

function text(scalar: MetadataScalar | undefined): string | undefined {
  return typeof scalar === 'string' ? scalar : undefined;
}

/** Filters write numbers as text where they are told to. */
function number(scalar: MetadataScalar | undefined): number | undefined {
  if (typeof scalar === 'string' && /^\d{1,15}$/.test(scalar)) return Number(scalar);
  return typeof scalar === 'number' ? scalar : undefined;
}
