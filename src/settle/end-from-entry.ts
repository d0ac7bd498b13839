import type { AccessLogEntry } from '../check/access-log-entry.ts';
import type { RequestEnd } from './request-end.ts';
import { usageFromCounts } from './usage.ts';

/** Envoy's own 500 in place of an answer that its filters could not hold as a whole: the model gave one. */
const tooLarge = 'response_payload_too_large';

/** An entry of Envoy's access log → the end of a request. */
export function endFromEntry(entry: AccessLogEntry): RequestEnd {
  const { granted, usage, responseCode, responseBytes, details } = entry;
  return {
    granted,
    usage: tellsOfOne(entry) ? undefined : usageFromCounts((name) => usage.get(name)),
    status: details === tooLarge ? undefined : responseCode,
    responseBytes,
  };
}

/**
 * Whether an answer of several was cut off: continuous usage (vLLM) is that of one of them until the last event, which tells
 * of all. `n` and `best_of` are the request's, found by Envoy's filters too.
 */
function tellsOfOne({ usage, details }: AccessLogEntry): boolean {
  if (details === 'via_upstream') return false;
  return ['n', 'best_of'].some((name) => usage.has(name) && Number(usage.get(name)) !== 1);
}
