import type { AccessLogEntry } from '../check/access-log-entry.ts';
import type { RequestEnd } from './request-end.ts';
import { usageFromCounts } from './usage.ts';

/** An entry of Envoy's access log → the end of a request. */
export function endFromEntry({ granted, usage, responseCode, responseBytes }: AccessLogEntry): RequestEnd {
  return {
    granted,
    usage: usageFromCounts((name) => usage.get(name)),
    status: responseCode,
    responseBytes,
  };
}
