import type { MetadataScalar } from './check-input.ts';

/**
 * The end of a request, as Envoy's access log tells it: one for every request that reached Envoy, aborted ones too. It
 * may come twice, late, or never.
 */
export interface AccessLogEntry {
  /** x-request-id where there is one, which a client may have chosen: for logs, never to find anything by. */
  readonly streamId: string;
  /** What our Check answered for Envoy to remember (dynamic metadata): `slot_id`, `user`, `tier`, `model`, `reason` ... Empty if Envoy never got the answer. */
  readonly granted: ReadonlyMap<string, MetadataScalar>;
  /** What Envoy's filters found in the bodies (namespace `tiergate`): `total_tokens` and the like. Empty if nothing. */
  readonly usage: ReadonlyMap<string, MetadataScalar>;
  /** HTTP status towards the client; undefined or 0: there was no response. */
  readonly responseCode: number | undefined;
  /** Envoy's own word for how it came to that response: `via_upstream`, `ext_authz_denied`, `downstream_remote_disconnect` ... */
  readonly details: string;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** From the request's first byte to the response's last. */
  readonly durationMs: number | undefined;
}
