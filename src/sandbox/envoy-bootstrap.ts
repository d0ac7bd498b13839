/** What an Envoy of ours is given to put into its bootstrap. */
export interface EnvoyPlace {
  /** For the listener that clients call. */
  readonly port: number;
  readonly adminPort: number;
  readonly accessLogPath: string;
}

/** Where an upstream of Envoy listens: a port of 127.0.0.1, or the path of a Unix socket. */
export type Endpoint = { readonly port: number } | { readonly path: string };

export interface GatewayOptions {
  /** Speaks ext_authz v3 over gRPC without TLS. */
  readonly authorizer: Endpoint;
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
}

interface CheckRetry {
  /** Attempts after the first. */
  readonly attempts: number;
  /** Envoy's `retry_on` words, such as `unavailable,reset-before-request`. */
  readonly on: string;
}

/** Envoy's name for its counters of this listener: `http.gateway....`. */
const statPrefix = 'gateway';

/** A bootstrap with one listener: ext_authz asks the authorizer, then the router goes to model or issuer. */
export function gatewayBootstrap(place: EnvoyPlace, options: GatewayOptions): object {
  const upstreams = [
    cluster('authorizer', options.authorizer, true),
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
    access_log: [accessLog(place.accessLogPath)],
    http_filters: [
      { name: 'ext_authz', typed_config: extAuthz(options) },
      { name: 'router', typed_config: { '@type': `${filters}.http.router.v3.Router` } },
    ],
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: routes(options),
          typed_per_filter_config: perRoute(options),
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
    ...(options.allowedHeaders === undefined
      ? {}
      : {
          allowed_headers: {
            patterns: options.allowedHeaders.map((name) => ({ exact: name, ignore_case: true })),
          },
        }),
    grpc_service: {
      timeout: `${(options.timeoutMs ?? 1_000) / 1_000}s`,
      envoy_grpc: { cluster_name: 'authorizer' },
      // Here and not inside envoy_grpc, where the field of the same name is for xDS streams.
      ...(options.retry === undefined
        ? {}
        : { retry_policy: { num_retries: options.retry.attempts, retry_on: options.retry.on } }),
    },
  };
}

function perRoute(options: GatewayOptions): object {
  if (options.contextExtensions === undefined) return {};
  return {
    ext_authz: {
      '@type': `${filters}.http.ext_authz.v3.ExtAuthzPerRoute`,
      check_settings: { context_extensions: options.contextExtensions },
    },
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

/** One JSON line for each request; no header of the client is in it. */
function accessLog(path: string): object {
  const metadata = (key: string): string => `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:${key})%`;
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

function cluster(name: string, endpoint: Endpoint, isHttp2: boolean): object {
  const version = isHttp2 ? { http2_protocol_options: {} } : { http_protocol_options: {} };
  return {
    name,
    type: 'STATIC',
    connect_timeout: '0.25s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: version,
      },
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: addressOf(endpoint) } }] }],
    },
  };
}

function addressOf(endpoint: Endpoint): object {
  return 'path' in endpoint ? { pipe: { path: endpoint.path } } : socketAddress(endpoint.port);
}

function socketAddress(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

/** Where the types of Envoy's own extensions begin (Envoy's API documentation, v3). */
const filters = 'type.googleapis.com/envoy.extensions.filters';
