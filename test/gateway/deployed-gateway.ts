import type { SettlementChannel } from '../../src/sandbox/envoy-token-filters.ts';
import {
  type Bootstrap,
  connectionManagerOf,
  readConfiguration,
  startShipped,
} from '../deploy/shipped-envoy.ts';
import type { Envoy } from '../real/envoy.ts';

/** The configurations of deploy/, by how each tells what requests used. */
const files = {
  'access-log': 'envoy/envoy.yaml',
  'rate-limit': 'envoy/envoy-rate-limit.yaml',
  'ext-proc': 'envoy/envoy-ext-proc.yaml',
} as const satisfies Readonly<Record<SettlementChannel, string>>;

export const channels = Object.keys(files) as readonly SettlementChannel[];

export const readDeployed = (channel: SettlementChannel): Promise<Bootstrap> =>
  readConfiguration(files[channel]);

export interface DeployedPorts {
  readonly authorizer: number;
  readonly model: number;
  /** Whom the access log goes to, if not to the authorizer. */
  readonly settler?: number;
}

/** A configuration of deploy/ as it is shipped, on loopback. */
export async function startDeployedGateway(channel: SettlementChannel, ports: DeployedPorts): Promise<Envoy> {
  const bootstrap = await readDeployed(channel);
  const { authorizer, model, settler } = ports;
  const portOf = new Map([
    ['authorizer', authorizer],
    ['models', model],
    ['settler', settler ?? authorizer],
  ]);
  return startShipped(
    settler === undefined ? bootstrap : toSettler(bootstrap),
    (name) => portOf.get(name) ?? 1,
  );
}

/** With a cluster more, which the access log goes to. */
function toSettler(bootstrap: Bootstrap): Bootstrap {
  const changed = structuredClone(bootstrap);
  const { clusters, ...others } = changed.static_resources;
  const cluster = structuredClone(clusters.find(({ name }) => name === 'authorizer'));
  const [log] = connectionManagerOf(changed).access_log ?? [];
  if (cluster === undefined || log === undefined) throw new Error('no authorizer, or no access log');
  const common = log.typed_config.common_config as object;
  log.typed_config.common_config = { ...common, grpc_service: { envoy_grpc: { cluster_name: 'settler' } } };
  return {
    ...changed,
    static_resources: { ...others, clusters: [...clusters, { ...cluster, name: 'settler' }] },
  };
}
