/** What a cluster's owner wants: `enforced` and `sso-client-only` differ only for who configures the cluster. */
export type SsoStatus = 'enabled' | 'enforced' | 'sso-client-only' | 'disabled';

/** Why a cluster that wants SSO can't be served now; what is registered for it is left as it is. */
export type ClusterHold = 'not_ready' | 'no_console' | 'external_auth';

/** A cluster as an inventory or the cluster manager describes it. */
export interface Cluster {
  readonly name: string;
  readonly organizationId: string;
  readonly status: SsoStatus;
  readonly ready: boolean;
  /** Whether the cluster authenticates its users elsewhere, so that an SSO client is of no use to it. */
  readonly externalAuth: boolean;
  /** Undefined while the cluster has none. */
  readonly consoleUrl: string | undefined;
  /** Undefined: the default of the configuration. */
  readonly authName: string | undefined;
  /** URL of the realm; undefined: the default of the configuration. */
  readonly issuer: string | undefined;
  readonly groupFilterRegex: string | undefined;
}

/** A discovery that is not whole throws DependencyError: half a list would read as deletions. */
export type DiscoverClusters = (signal: AbortSignal) => Promise<readonly Cluster[]>;

export function holdOf(cluster: Cluster): ClusterHold | undefined {
  if (cluster.externalAuth) return 'external_auth';
  if (!cluster.ready) return 'not_ready';
  if (cluster.consoleUrl === undefined) return 'no_console';
  return undefined;
}

/** Ids of a cluster's clients begin with this, whatever their auth name and issuer. */
export function idPrefixOf(cluster: Pick<Cluster, 'name' | 'organizationId'>): string {
  return `${cluster.name}-${cluster.organizationId}-`;
}
