import { cluster, type Endpoint, socketAddress } from './envoy-cluster.ts';
import * as httpDoor from './envoy-http-service.ts';
import {
  filtersAfterCheck,
  filtersBeforeCheck,
  type SettlementChannel,
  settlementPerRoute,
  tokenNamespace,
} from './envoy-token-filters.ts';

/** What an Envoy of ours is given to put into its bootstrap. */
export interface EnvoyPlace {
  /** For the listener that clients call. */
  readonly port: number;
  readonly adminPort: number;
  readonly accessLogPath: string;
}

export interface GatewayOptions {
  /** Speaks ext_authz v3 over gRPC without TLS. */
  readonly authorizer: Endpoint;
  /** The authorizer's HTTP door, which is asked then; the gRPC one gets the access log all the same. */
  readonly httpDoor?: Endpoint;
  readonly model: Endpoint;
  /** Serves `/maas-api` and `/v1/models`; without it they go to the model like all else. */
  readonly issuer?: Endpoint;
  /** Default false, as deploy/ has it. */
  readonly failureModeAllow?: boolean;
  /** How long Envoy waits for one Check, retries included. Default 1000. */
  readonly timeoutMs?: number;
  /** HTTP status for a Check that failed. Default 503; Envoy's own is 403. */
  readonly statusOnError?: number;
  /**
   * Resolve dot segments, merge slashes, and treat `%2F` and `%5C` as named here before anything looks at
   * the path. Default: the path goes on as it came.
   */
  readonly normalizePath?: 'REJECT_REQUEST' | 'UNESCAPE_AND_REDIRECT' | 'UNESCAPE_AND_FORWARD';
  /** Request headers the authorizer gets, lower case. Default: all. Envoy adds method, path and host itself. */
  readonly allowedHeaders?: readonly string[];
  /** Headers as `header_map` with raw bytes in place of the `headers` text map. Default false. */
  readonly encodeRawHeaders?: boolean;
  /** Ask again when a Check fails. Default: one attempt. */
  readonly retry?: CheckRetry;
  /** Sent with every Check, as a gateway that names the model by route does. */
  readonly contextExtensions?: Readonly<Record<string, string>>;
  /** Tells the authorizer of every request's end. Default: nobody is told. */
  readonly accessLog?: AccessLogOptions;
  /** Asks the authorizer once more, as a rate limit service, with what it said of the request. Default: not asked. */
  readonly rateLimit?: RateLimitOptions;
  /** Tells the authorizer what requests ask for, and what they used. Default: it is not told. */
  readonly tokens?: SettlementChannel;
}

interface AccessLogOptions {
  /** How long Envoy holds entries back. Default 100; Envoy's own is 1000, which holds slots for that much longer. */
  readonly flushIntervalMs?: number;
}

interface RateLimitOptions {
  /** Units of the one descriptor; 0 looks only. Default: the request's number, which is 1. */
  readonly hitsAddend?: number;
  /** How long Envoy waits for an answer. Default 20, as is Envoy's own. */
  readonly timeoutMs?: number;
  /** What an error means. Default true, a denial; Envoy's own is false. */
  readonly failureModeDeny?: boolean;
}

interface CheckRetry {
  /** Attempts after the first. */
  readonly attempts: number;
  /** Envoy's `retry_on` words, such as `unavailable,reset-before-request`. */
  readonly on: string;
}

/** Where Envoy keeps what the authorizer said of a request. */
const extAuthzNamespace = 'envoy.filters.http.ext_authz';

/** Envoy's name for its counters of this listener: `http.gateway....`. */
const statPrefix = 'gateway';

/** A bootstrap with one listener: ext_authz asks the authorizer, then the router goes to model or issuer. */
export function gatewayBootstrap(place: EnvoyPlace, options: GatewayOptions): object {
  const upstreams = [
    cluster('authorizer', options.authorizer, true),
    ...(options.httpDoor === undefined ? [] : [cluster(httpDoor.httpDoorCluster, options.httpDoor, false)]),
    cluster('model', options.model, false),
    ...(options.issuer === undefined ? [] : [cluster('issuer', options.issuer, false)]),
  ];
  return {
    admin: { address: socketAddress(place.adminPort) },
    static_resources: {
      listeners: [
        {
          name: 'gateway',
          address: socketAddress(place.port),
          filter_chains: [
            {
              filters: [{ name: 'http_connection_manager', typed_config: connectionManager(place, options) }],
            },
          ],
        },
      ],
      clusters: upstreams,
    },
  };
}

function connectionManager(place: EnvoyPlace, options: GatewayOptions): object {
  const isNormalizing = options.normalizePath !== undefined;
  return {
    '@type': `${filters}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: statPrefix,
    normalize_path: isNormalizing,
    merge_slashes: isNormalizing,
    path_with_escaped_slashes_action: options.normalizePath ?? 'KEEP_UNCHANGED',
    ...(options.httpDoor !== undefined && { local_reply_config: httpDoor.couldNotTellReplies }),
    access_log: [
      accessLog(place.accessLogPath),
      ...(options.accessLog === undefined ? [] : [grpcAccessLog(options.accessLog)]),
    ],
    http_filters: [
      ...(options.tokens === undefined ? [] : filtersBeforeCheck(options.tokens)),
      ...(options.tokens === undefined || options.httpDoor === undefined ? [] : [httpDoor.unsayableFilter]),
      { name: 'ext_authz', typed_config: extAuthz(options) },
      ...(options.rateLimit === undefined
        ? []
        : [{ name: 'ratelimit', typed_config: rateLimit(options.rateLimit) }]),
      ...(options.tokens === undefined ? [] : filtersAfterCheck(options.tokens)),
      { name: 'router', typed_config: { '@type': `${filters}.http.router.v3.Router` } },
    ],
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: routes(options),
          typed_per_filter_config: perRoute(options),
          ...(options.httpDoor !== undefined && { response_headers_to_remove: httpDoor.modelsOwnHeaders }),
        },
      ],
    },
  };
}

function extAuthz(options: GatewayOptions): object {
  return {
    '@type': `${filters}.http.ext_authz.v3.ExtAuthz`,
    transport_api_version: 'V3',
    failure_mode_allow: options.failureModeAllow ?? false,
    status_on_error: { code: options.statusOnError ?? 503 },
    encode_raw_headers: options.encodeRawHeaders ?? false,
    ...(options.tokens !== undefined && { metadata_context_namespaces: [tokenNamespace] }),
    ...(options.allowedHeaders === undefined && options.httpDoor === undefined
      ? {}
      : {
          allowed_headers: {
            patterns: [
              ...(options.allowedHeaders ?? []).map((name) => ({ exact: name, ignore_case: true })),
              ...(options.httpDoor === undefined ? [] : [httpDoor.forgedHeaders]),
            ],
          },
        }),
    ...(options.httpDoor === undefined
      ? { grpc_service: grpcService(options) }
      : { http_service: httpDoor.httpService(options.timeoutMs) }),
  };
}

function grpcService({ timeoutMs = 1_000, retry }: GatewayOptions): object {
  return {
    timeout: `${timeoutMs / 1_000}s`,
    envoy_grpc: { cluster_name: 'authorizer' },
    // Here and not inside envoy_grpc, where the field of the same name is for xDS streams.
    ...(retry === undefined ? {} : { retry_policy: { num_retries: retry.attempts, retry_on: retry.on } }),
  };
}

function rateLimit({ timeoutMs = 20, failureModeDeny = true }: RateLimitOptions): object {
  return {
    '@type': `${filters}.http.ratelimit.v3.RateLimit`,
    domain: 'tiergate',
    timeout: `${timeoutMs / 1_000}s`,
    failure_mode_deny: failureModeDeny,
    rate_limit_service: {
      transport_api_version: 'V3',
      grpc_service: { envoy_grpc: { cluster_name: 'authorizer' } },
    },
  };
}

/** What the authorizer said of the request, entry by entry. */
function descriptor({ hitsAddend }: RateLimitOptions): object {
  const entry = (key: string): object => ({
    metadata: {
      descriptor_key: key,
      metadata_key: { key: extAuthzNamespace, path: [{ key }] },
    },
  });
  return {
    actions: ['user', 'tier', 'model'].map(entry),
    ...(hitsAddend === undefined ? {} : { hits_addend: { number: hitsAddend } }),
  };
}

function perRoute({ contextExtensions, rateLimit: asked, tokens }: GatewayOptions): object {
  return {
    ...settlementPerRoute(tokens),
    ...(contextExtensions !== undefined && {
      ext_authz: {
        '@type': `${filters}.http.ext_authz.v3.ExtAuthzPerRoute`,
        check_settings: { context_extensions: contextExtensions },
      },
    }),
    // Not `rate_limits` of the virtual host, where Envoy 1.40 passes over `hits_addend`.
    ...(asked !== undefined && {
      ratelimit: {
        '@type': `${filters}.http.ratelimit.v3.RateLimitPerRoute`,
        rate_limits: [descriptor(asked)],
      },
    }),
  };
}

function routes(options: GatewayOptions): readonly object[] {
  // 0 s: a stream of a model may take as long as it likes.
  const to = (name: string): object => ({ cluster: name, timeout: '0s' });
  const toModel = { match: { prefix: '/' }, route: to('model') };
  if (options.issuer === undefined) return [toModel];
  return [
    { match: { path_separated_prefix: '/maas-api' }, route: to('issuer') },
    { match: { path_separated_prefix: '/v1/models' }, route: to('issuer') },
    toModel,
  ];
}

/** The ends of requests, with all dynamic metadata, to the authorizer; two workers have two streams. */
function grpcAccessLog({ flushIntervalMs = 100 }: AccessLogOptions): object {
  return {
    name: 'tiergate',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig',
      common_config: {
        log_name: 'tiergate',
        transport_api_version: 'V3',
        grpc_service: { envoy_grpc: { cluster_name: 'authorizer' } },
        buffer_flush_interval: `${flushIntervalMs / 1_000}s`,
      },
    },
  };
}

/** One JSON line for each request; no header of the client is in it. */
function accessLog(path: string): object {
  const metadata = (key: string): string => `%DYNAMIC_METADATA(${extAuthzNamespace}:${key})%`;
  return {
    name: 'file',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
      path,
      log_format: {
        json_format: {
          method: '%REQ(:METHOD)%',
          path: '%REQ(:PATH)%',
          status: '%RESPONSE_CODE%',
          details: '%RESPONSE_CODE_DETAILS%',
          flags: '%RESPONSE_FLAGS%',
          upstream: '%UPSTREAM_CLUSTER%',
          durationMs: '%DURATION%',
          user: metadata('user'),
          tier: metadata('tier'),
          model: metadata('model'),
          reason: metadata('reason'),
        },
      },
    },
  };
}

/** Where the types of Envoy's own extensions begin (Envoy's API documentation, v3). */
const filters = 'type.googleapis.com/envoy.extensions.filters';
