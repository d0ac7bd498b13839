import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { EnvoyPlace } from '../../src/sandbox/envoy-bootstrap.ts';
import { type Envoy, startEnvoy } from '../real/envoy.ts';
import { deployFolder, kustomizeWith } from './render.ts';

/** What a test changes in or reads of a configuration; everything else goes to Envoy as it is shipped. */
export interface Bootstrap {
  readonly admin?: { address: unknown };
  readonly static_resources: {
    readonly listeners: readonly {
      address: unknown;
      readonly filter_chains: readonly {
        readonly filters: readonly { readonly typed_config: ConnectionManager }[];
      }[];
    }[];
    readonly clusters: readonly Cluster[];
  };
}

interface Cluster {
  readonly name: string;
  readonly health_checks?: unknown;
  readonly load_assignment: {
    readonly endpoints: readonly {
      readonly lb_endpoints: readonly { readonly endpoint: { address: unknown } }[];
    }[];
  };
}

export interface ConnectionManager {
  readonly normalize_path?: boolean;
  readonly merge_slashes?: boolean;
  readonly path_with_escaped_slashes_action?: string;
  readonly early_header_mutation_extensions?: unknown;
  readonly access_log?: readonly {
    readonly name: string;
    readonly typed_config: { common_config?: unknown };
  }[];
  readonly http_filters: readonly { readonly name: string; readonly typed_config: ExtAuthz }[];
}

interface ExtAuthz {
  readonly '@type': string;
  readonly failure_mode_allow?: boolean;
  readonly status_on_error?: unknown;
  readonly grpc_service?: { readonly timeout: string; readonly retry_policy?: unknown };
  readonly http_service?: { readonly server_uri: { readonly timeout: string } };
}

/** Every configuration of Envoy itself below deploy/, by its path there. */
export async function shippedConfigurations(): Promise<readonly string[]> {
  const files = await readdir(deployFolder, { recursive: true });
  const found: string[] = [];
  for (const file of files.filter((name) => name.endsWith('.yaml') && !name.includes('/templates/'))) {
    const text = await readFile(join(deployFolder, file), 'utf8');
    if (/^static_resources:/m.test(text)) found.push(file);
  }
  return found.toSorted();
}

export async function readConfiguration(file: string): Promise<Bootstrap> {
  return parse(await readFile(join(deployFolder, file), 'utf8')) as Bootstrap;
}

/** The one HTTP connection manager that a configuration has. */
export function connectionManagerOf(bootstrap: Bootstrap): ConnectionManager {
  const manager = bootstrap.static_resources.listeners[0]?.filter_chains[0]?.filters[0]?.typed_config;
  if (manager === undefined) throw new Error('no connection manager');
  return manager;
}

export function extAuthzOf({ http_filters }: Pick<ConnectionManager, 'http_filters'>): ExtAuthz {
  const filter = http_filters.find(({ typed_config }) => typed_config['@type'].endsWith('.ExtAuthz'));
  if (filter === undefined) throw new Error('no ext_authz filter');
  return filter.typed_config;
}

const loopback = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/** Runs a configuration as it is shipped, but for where it listens and where its upstreams are: each cluster, at a port of loopback. */
export function startShipped(bootstrap: Bootstrap, portOf: (cluster: string) => number): Promise<Envoy> {
  return startEnvoy({
    bootstrap(place: EnvoyPlace) {
      const here = structuredClone(bootstrap);
      const { listeners, clusters } = here.static_resources;
      for (const listener of listeners) listener.address = loopback(place.port);
      for (const { name, load_assignment } of clusters) {
        for (const { lb_endpoints } of load_assignment.endpoints) {
          for (const { endpoint } of lb_endpoints) endpoint.address = loopback(portOf(name));
        }
      }
      return { ...here, admin: { address: loopback(place.adminPort) } };
    },
  });
}

interface ConfigPatch {
  readonly applyTo: string;
  readonly match: {
    readonly listener?: {
      readonly filterChain: { readonly filter: { readonly subFilter?: { readonly name: string } } };
    };
  };
  readonly patch: { readonly operation: string; readonly value: object };
}

interface Patches {
  readonly priority?: number;
  readonly configPatches: readonly ConfigPatch[];
}

/** Of a connection manager's configuration, what no patch of ours says. */
const ofIstio = new Set(['@type', 'stat_prefix', 'route_config', 'use_remote_address']);

/**
 * A gateway of Istio as far as our EnvoyFilters are concerned: deploy/envoy/envoy.yaml with nothing in its connection manager and its
 * authorizer's cluster but what they put there, in the order in which Istio would.
 */
export async function patchedByIstio(components: readonly string[] = []): Promise<Bootstrap> {
  const objects = await kustomizeWith('overlays/istio', components);
  const patches = objects
    .filter(({ kind }) => kind === 'EnvoyFilter')
    .map(({ spec }) => spec as Patches)
    .toSorted((one, other) => (one.priority ?? 0) - (other.priority ?? 0))
    .flatMap(({ configPatches }) => configPatches);
  const bootstrap = await readConfiguration('envoy/envoy.yaml');
  const manager = connectionManagerOf(bootstrap);
  const router = manager.http_filters.slice(-1);
  const bare = Object.fromEntries(Object.entries(manager).filter(([key]) => ofIstio.has(key)));
  for (const key of Object.keys(manager)) Reflect.deleteProperty(manager, key);
  Object.assign(manager, bare, { http_filters: router });
  const cluster = bootstrap.static_resources.clusters.find(({ name }) => name === 'authorizer');
  if (cluster === undefined) throw new Error('no cluster authorizer');
  const name = 'outbound|9090||tiergate-authorizer.tiergate.svc.cluster.local';
  Object.assign(cluster, {
    name,
    health_checks: undefined,
    load_assignment: { ...cluster.load_assignment, cluster_name: name },
  });
  for (const patch of patches) applyPatch(patch, manager, cluster);
  return bootstrap;
}

/** MERGE for what is merged here has nothing below it to merge with. */
function applyPatch(
  { applyTo, match, patch }: ConfigPatch,
  manager: ConnectionManager,
  cluster: Cluster,
): void {
  const { operation, value } = patch;
  if (applyTo === 'NETWORK_FILTER' && operation === 'MERGE') {
    Object.assign(manager, (value as { readonly typed_config: object }).typed_config);
  } else if (applyTo === 'CLUSTER' && operation === 'MERGE') {
    Object.assign(cluster, value);
  } else if (applyTo === 'HTTP_FILTER' && operation === 'INSERT_BEFORE') {
    const filters: object[] = [...manager.http_filters];
    const before = match.listener?.filterChain.filter.subFilter?.name;
    const at = manager.http_filters.findIndex((filter) => filter.name === before);
    if (at === -1) throw new Error(`there is no filter ${before} to insert before`);
    filters.splice(at, 0, value);
    Object.assign(manager, { http_filters: filters });
  } else {
    throw new Error(`${operation} of ${applyTo} is not done here`);
  }
}
