import { formatDuration } from '../duration.ts';
import { readGoDuration } from './go-duration.ts';
import { type InvalidRequest, invalidRequest } from './invalid-request.ts';

/** How long a token is wanted. */
export interface Lifetime {
  readonly durationMs: number;
  /** Whether the caller named it. What nobody named may be shortened by the cluster; what was named may not. */
  readonly asked: boolean;
}

/** What clients of MaaS get when they name none. */
const defaultMs = 4 * 3_600_000;

/** Kubernetes' own floor for a TokenRequest. */
const minMs = 600_000;

/** What a TokenRequest can say at all: 2^32 seconds, 136 years. */
const maxRequestMs = 2 ** 32 * 1000;

/** The field `expiration` as it came: Go's text, a number of seconds, or nothing. */
export type Expiration = string | number | null | undefined;

/**
 * Expiration → lifetime, within the floor and the tier's maximum. Never silently shortened: too long is a
 * refusal that names whose maximum it is.
 */
export function readLifetime(
  expiration: Expiration,
  tier: { readonly name: string; readonly maxTokenLifetimeMs: number | undefined },
): Lifetime | InvalidRequest {
  const maxMs = tier.maxTokenLifetimeMs ?? Number.POSITIVE_INFINITY;
  if (expiration === undefined || expiration === null) {
    return { durationMs: Math.min(defaultMs, maxMs), asked: false };
  }
  const read =
    typeof expiration === 'number' ? { durationMs: expiration * 1000 } : readGoDuration(expiration);
  if ('mistake' in read) return invalid(`expiration ${read.mistake}.`);
  const { durationMs } = read;
  if (!(durationMs > 0)) return invalid('expiration must be positive.');
  if (durationMs < minMs) return invalid('expiration must be at least 10 minutes.');
  if (durationMs > maxMs) {
    const max = formatDuration(maxMs);
    return invalid(`expiration is longer than the ${max} that the tier ${tier.name} allows.`);
  }
  if (durationMs > maxRequestMs) return invalid('expiration is longer than any cluster allows.');
  return { durationMs, asked: true };
}

export function invalidLifetime(detail: string): InvalidRequest {
  return invalid(detail);
}

function invalid(detail: string): InvalidRequest {
  return invalidRequest('expiration', detail);
}
