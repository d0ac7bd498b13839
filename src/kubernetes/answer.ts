import type { IncomingHttpHeaders } from 'node:http';
import { DependencyError, type DependencyFault } from '../dependency-error.ts';
import { isRecord } from './json-shape.ts';

/** An answer that is the caller's to read: 2xx, or a status that says something about what was asked for. */
export interface KubernetesAnswer {
  readonly status: number;
  /** Parsed JSON. Of an error, a Status object (`meta/v1`): see {@link statusMessage}. */
  readonly body: unknown;
}

/** Statuses by which the API server says that it could not serve us, rather than what is so. */
const faultByStatus: Readonly<Record<number, DependencyFault>> = {
  401: 'misconfigured',
  403: 'misconfigured',
  408: 'timeout',
  429: 'overloaded',
};

export function faultOfStatus(status: number): DependencyFault | undefined {
  if (status >= 500) return 'failed';
  // Nothing of Kubernetes redirects us, and a token follows no redirect.
  if (status >= 300 && status < 400) return 'malformed';
  return faultByStatus[status];
}

/**
 * The error for such a status. The API server's own words (a Status, not what something in between says) go in only
 * where they are made from who we are and what we asked for (401, 403), never from what we sent.
 */
export function faultError(
  fault: DependencyFault,
  answer: { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string },
  nowMs: number,
): DependencyError {
  const { status, headers, text } = answer;
  const retryAfterMs = readRetryAfter(headers['retry-after'], nowMs);
  const body = parsed(text);
  const isWorded = fault === 'misconfigured' && isRecord(body) && body['kind'] === 'Status';
  const words = isWorded ? `: ${statusMessage({ status, body })}` : '';
  return new DependencyError('kubernetes', fault, {
    detail: `HTTP ${status}${words}`,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

const maxMessageLength = 500;

/** The Status message of an error, for the log and for the operator; the bare status where there is none. */
export function statusMessage(answer: KubernetesAnswer): string {
  const message = isRecord(answer.body) ? answer.body['message'] : undefined;
  if (typeof message !== 'string' || message === '') return `HTTP ${answer.status}`;
  return message.slice(0, maxMessageLength);
}

/** The Status reason of an error (`AlreadyExists`, `Conflict`, `NotFound`, `Invalid`, …), machine-readable. */
export function statusReason(answer: KubernetesAnswer): string | undefined {
  const reason = isRecord(answer.body) ? answer.body['reason'] : undefined;
  return typeof reason === 'string' ? reason : undefined;
}

/** RFC 9110 section 10.2.3: seconds, or a date. */
function readRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const atMs = Date.parse(value);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

export function malformed(detail: string, cause?: unknown): DependencyError {
  return new DependencyError('kubernetes', 'malformed', { detail, ...(cause !== undefined && { cause }) });
}

export function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
