/** Where an upstream of Envoy listens: a port of 127.0.0.1, or the path of a Unix socket. */
export type Endpoint = { readonly port: number } | { readonly path: string };

/** An upstream of one endpoint, as a bootstrap has it. */
export function cluster(name: string, endpoint: Endpoint, isHttp2: boolean): object {
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

export function socketAddress(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}
