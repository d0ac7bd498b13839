import { gatewayBootstrap, type GatewayOptions } from '../../src/sandbox/envoy-bootstrap.ts';
import { type Envoy, startEnvoy } from '../real/envoy.ts';

interface Bootstrap {
  readonly static_resources: { readonly clusters: readonly { readonly name: string }[] };
}

/** One Envoy in front of several authorizers, as deploy/ has it: one cluster, each looked at by gRPC health checks. */
export function startGatewayOfReplicas(
  ports: readonly number[],
  options: Omit<GatewayOptions, 'authorizer'>,
): Promise<Envoy> {
  return startEnvoy({
    bootstrap: (place) =>
      withReplicas(gatewayBootstrap(place, { authorizer: { port: 1 }, ...options }), ports),
  });
}

function withReplicas(bootstrap: object, ports: readonly number[]): object {
  const { static_resources: resources } = bootstrap as Bootstrap;
  const clusters = resources.clusters.map((cluster) =>
    cluster.name === 'authorizer'
      ? {
          ...cluster,
          health_checks: [
            {
              timeout: '1s',
              interval: '1s',
              no_traffic_interval: '1s',
              unhealthy_threshold: 1,
              healthy_threshold: 1,
              grpc_health_check: {},
            },
          ],
          load_assignment: {
            cluster_name: 'authorizer',
            endpoints: [
              {
                lb_endpoints: ports.map((port) => ({
                  endpoint: {
                    address: { socket_address: { address: '127.0.0.1', port_value: port } },
                  },
                })),
              },
            ],
          },
        }
      : cluster,
  );
  return { ...bootstrap, static_resources: { ...resources, clusters } };
}
