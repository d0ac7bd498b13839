import { usageNames } from '../settle/usage.ts';

/**
 * How an Envoy tells the authorizer what requests used. `access-log`: with the entries of its access log. `rate-limit`: with
 * a call of its ratelimit filter when a stream is done. `ext-proc`: with copies of the answers, in which the authorizer
 * looks itself. For the first two, Envoy's own filters look.
 */
export type SettlementChannel = 'access-log' | 'rate-limit' | 'ext-proc';

/** Where the types of Envoy's own extensions begin (Envoy's API documentation, v3). */
const extensions = 'type.googleapis.com/envoy.extensions';

/** The namespace that these filters write and the authorizer reads. */
export const tokenNamespace = 'tiergate';
const grantedNamespace = 'envoy.filters.http.ext_authz';

type Rule = readonly [path: string, key: string];

/** What a request asks for. Values stay as they are: a number, or what a client put in its place. */
const requestRules: readonly Rule[] = [
  'model',
  'stream',
  'stream_options.include_usage',
  'max_tokens',
  'max_completion_tokens',
  'max_output_tokens',
  'n',
  'best_of',
].map((path) => [path, lastKey(path)]);

const answerRules: readonly Rule[] = usageNames.map((name) => [`usage.${name}`, name]);

/**
 * OpenAI's Responses tell usage within their last event; Anthropic's Messages what went in within their first. What is said to
 * have come out by then (`message.usage.output_tokens`) is no rule: an answer that is cut off would look like a short one.
 */
const eventRules: readonly Rule[] = [
  ...answerRules,
  ...['input_tokens', 'output_tokens', 'total_tokens'].map((name): Rule => [`response.usage.${name}`, name]),
  ...['input_tokens', 'cache_creation_input_tokens', 'cache_read_input_tokens'].map(
    (name): Rule => [`message.usage.${name}`, name],
  ),
];

function lastKey(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

function rule([path, key]: Rule, type: 'PROTOBUF_VALUE' | 'NUMBER'): object {
  return {
    selectors: path.split('.').map((part) => ({ key: part })),
    on_present: { metadata_namespace: tokenNamespace, key, type },
  };
}

/**
 * What is no JSON to Envoy may be some to a model server (NaN, half a surrogate pair, UTF-16), and would hide its words: one
 * rule says so. Not of an empty body.
 */
function requestRule(one: Rule): object {
  const found = rule(one, 'PROTOBUF_VALUE');
  if (one[1] !== 'stream') return found;
  return { ...found, on_error: { metadata_namespace: tokenNamespace, key: 'unreadable', value: true } };
}

/** Keys of the namespace in which a client's own text may stand. */
export const requestWords: readonly string[] = requestRules.map(([, key]) => key);

/** Before ext_authz: the body's words for it, and the end of compression, which would hide usage. */
export function filtersBeforeCheck(channel: SettlementChannel): readonly object[] {
  return [
    {
      name: 'header_mutation',
      typed_config: {
        '@type': `${extensions}.filters.http.header_mutation.v3.HeaderMutation`,
        mutations: { request_mutations: [{ remove: 'accept-encoding' }] },
      },
    },
    {
      name: 'json_to_metadata',
      typed_config: {
        '@type': `${extensions}.filters.http.json_to_metadata.v3.JsonToMetadata`,
        request_rules: {
          rules: requestRules.map(requestRule),
          // A model server may not look at the type, so that a client could hide its words behind another.
          allow_empty_content_type: true,
          allow_content_types_regex: { regex: '.*' },
        },
        ...(channel !== 'ext-proc' && {
          response_rules: { rules: answerRules.map((one) => rule(one, 'NUMBER')) },
        }),
      },
    },
  ];
}

/** Behind ext_authz, so that what it answered is known. */
export function filtersAfterCheck(channel: SettlementChannel): readonly object[] {
  if (channel === 'ext-proc') return [extProc];
  return channel === 'rate-limit' ? [ratelimit, sseToMetadata] : [sseToMetadata];
}

const sseToMetadata = {
  name: 'sse_to_metadata',
  typed_config: {
    '@type': `${extensions}.filters.http.sse_to_metadata.v3.SseToMetadata`,
    response_rules: {
      content_parser: {
        name: 'json',
        typed_config: {
          '@type': `${extensions}.content_parsers.json.v3.JsonContentParser`,
          rules: eventRules.map((one) => ({ rule: rule(one, 'NUMBER') })),
        },
      },
      // Envoy's own default is 8 KiB; the last event of Responses holds the whole answer.
      max_event_size: 1_048_576,
    },
  },
};

const authorizer = { envoy_grpc: { cluster_name: 'authorizer' } };

/** Asks only when a stream is done; what it is answered then, and when, changes nothing. */
const ratelimit = {
  name: 'ratelimit_tokens',
  typed_config: {
    '@type': `${extensions}.filters.http.ratelimit.v3.RateLimit`,
    domain: 'tiergate',
    timeout: '1s',
    failure_mode_deny: false,
    rate_limit_service: { transport_api_version: 'V3', grpc_service: authorizer },
  },
};

const extProc = {
  name: 'ext_proc',
  typed_config: {
    '@type': `${extensions}.filters.http.ext_proc.v3.ExternalProcessor`,
    grpc_service: authorizer,
    // Copies, for which nothing waits; with these two a dead authorizer is not noticed.
    observability_mode: true,
    failure_mode_allow: true,
    // How long a stream outlives its request, and so when the end of one that was cut off is told. Envoy's own is 5s.
    deferred_close_timeout: '0.5s',
    processing_mode: {
      request_header_mode: 'SKIP',
      response_header_mode: 'SEND',
      response_body_mode: 'STREAMED',
      request_trailer_mode: 'SKIP',
      response_trailer_mode: 'SKIP',
    },
    metadata_options: { forwarding_namespaces: { untyped: [grantedNamespace] } },
    forward_rules: {
      allowed_headers: {
        patterns: [':status', 'content-type', 'content-encoding'].map((exact) => ({ exact })),
      },
    },
  },
};

/** Of a virtual host or a route: what the ratelimit filter tells. */
export function settlementPerRoute(channel: SettlementChannel | undefined): object {
  if (channel !== 'rate-limit') return {};
  const descriptors = [
    ...usageNames.map((name) => settlement(name, `%DYNAMIC_METADATA(${tokenNamespace}:${name})%`)),
    settlement('status', '%RESPONSE_CODE%'),
    settlement('response_bytes', '%BYTES_SENT%'),
    settlement('reserved', `%DYNAMIC_METADATA(${grantedNamespace}:reserved_tokens)%`, true),
  ];
  return {
    ratelimit_tokens: {
      '@type': `${extensions}.filters.http.ratelimit.v3.RateLimitPerRoute`,
      rate_limits: descriptors,
    },
  };
}

function settlement(usage: string, format: string, isRefund = false): object {
  const path = [{ key: 'reservation_id' }];
  return {
    apply_on_stream_done: true,
    hits_addend: { format, ...(isRefund && { is_negative_hits: true }) },
    actions: [
      { metadata: { descriptor_key: 'reservation', metadata_key: { key: grantedNamespace, path } } },
      { generic_key: { descriptor_key: 'usage', descriptor_value: usage } },
    ],
  };
}
