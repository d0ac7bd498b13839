/**
 * The parts of an Envoy configuration that ask the HTTP door, as deploy/envoy/http-service.yaml has them and explains
 * them.
 */

import { requestWords, tokenNamespace } from './envoy-token-filters.ts';

export const httpDoorCluster = 'authorizer-http';

/** Client's headers that look like ours: what the door does not see it can not take off. */
export const forgedHeaders = { safe_regex: { regex: '(?i)x[-_](tiergate|maas)[-_].*' } };

/** Before ext_authz: DEL is what JSON does not escape and no header can hold. */
export const unsayableFilter = {
  name: 'unsayable',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC',
    rules: {
      action: 'DENY',
      policies: {
        del: {
          principals: [{ any: true }],
          permissions: requestWords.map((key) => ({
            sourced_metadata: {
              metadata_matcher: {
                filter: tokenNamespace,
                path: [{ key }],
                value: { string_match: { contains: '\u007f' } },
              },
            },
          })),
        },
      },
    },
  },
};

export function httpService(timeoutMs = 1_000): object {
  return {
    server_uri: {
      uri: `http://${httpDoorCluster}`,
      cluster: httpDoorCluster,
      timeout: `${timeoutMs / 1_000}s`,
    },
    authorization_request: {
      headers_to_add: [
        { key: 'tiergate-source', value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' },
        { key: 'tiergate-size', value: '%REQ(CONTENT-LENGTH)%' },
        { key: 'tiergate-metadata', value: `%DYNAMIC_METADATA(${tokenNamespace}):4096%` },
      ],
    },
    authorization_response: {
      allowed_upstream_headers: names(
        ...['user', 'tier', 'model', 'reservation'].map((name) => `x-tiergate-${name}`),
      ),
      allowed_client_headers: names('content-type', 'x-tiergate-reason', 'retry-after', ...rateLimit),
      allowed_client_headers_on_success: names(...rateLimit),
      dynamic_metadata_from_headers: names(...ofTheRequest),
    },
  };
}

/** Dynamic metadata, for the access log. */
const ofTheRequest = ['user', 'tier', 'model', 'reason', 'slot_id', 'reservation_id', 'reserved_tokens'];

const rateLimit = [
  'ratelimit-policy',
  'ratelimit',
  ...['requests', 'tokens'].flatMap((kind) => [
    `x-ratelimit-limit-${kind}`,
    `x-ratelimit-remaining-${kind}`,
    `x-ratelimit-reset-${kind}`,
  ]),
];

/** Where the model server has its own: Envoy adds ours to them, where the gRPC door's take their place. */
export const modelsOwnHeaders: readonly string[] = rateLimit;

function names(...exact: readonly string[]): object {
  return { patterns: exact.map((name) => ({ exact: name, ignore_case: true })) };
}

/** What nobody could tell, and our bugs: 408 from the door, 503 and 500 to the client. */
export const couldNotTellReplies = {
  mappers: [
    { filter: { and_filter: { filters: [...ofTheDoor(), reasonIs('internal')] } }, status_code: 500 },
    { filter: { and_filter: { filters: ofTheDoor() } }, status_code: 503 },
  ],
};

function ofTheDoor(): readonly object[] {
  const value = { default_value: 408, runtime_key: 'tiergate.could_not_tell' };
  return [
    { status_code_filter: { comparison: { op: 'EQ', value } } },
    { response_flag_filter: { flags: ['UAEX'] } },
  ];
}

function reasonIs(exact: string): object {
  return {
    metadata_filter: {
      matcher: {
        filter: 'envoy.filters.http.ext_authz',
        path: [{ key: 'reason' }],
        value: { string_match: { exact } },
      },
      match_if_key_not_found: false,
    },
  };
}
