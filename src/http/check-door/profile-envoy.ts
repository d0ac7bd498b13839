import type { CheckDoorProfile } from './profile.ts';

/**
 * Envoy's ext_authz filter with `http_service`: it sends the request's own method, path and host, and the headers of
 * `allowed_headers` as the client sent them.
 *
 * Any answer of 500 or more counts as an error there, and with `failure_mode_allow: true` lets the request through as
 * the client made it. So none is sent: what nobody could tell is a 408, which OpenAI's SDKs try again as they do a
 * 503, and which `local_reply_config` turns into that (deploy/envoy/http-service.yaml).
 */
export const envoyProfile: CheckDoorProfile = {
  // Ours, and set by `headers_to_add`, in place of whatever the client sent: X-Forwarded-For is the client's word.
  source: 'tiergate-source',
  size: 'tiergate-size',
  metadata: 'tiergate-metadata',
  // Of Envoy's router, which writes it over.
  timeout: 'x-envoy-expected-rq-timeout-ms',
  removesHeaders: true,
  tellsEnds: true,
  statusOf: (status) => (status >= 500 ? 408 : status),
  deniesInHeaders: false,
};
