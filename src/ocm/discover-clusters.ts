import { z } from 'zod';
import type { Cluster, DiscoverClusters, SsoStatus } from '../register/cluster.ts';
import { type OcmClient, quoted } from './ocm-client.ts';

export interface DiscoverOptions {
  readonly client: OcmClient;
  /** Labels that begin with this say what a cluster wants, as a rule `sre-capabilities.rhidp`. */
  readonly labelPrefix: string;
  /** Only clusters of these organizations; undefined: of all that we may see. */
  readonly organizations: readonly string[] | undefined;
}

const label = z.object({
  key: z.string(),
  value: z.string(),
  type: z.string(),
  subscription_id: z.string().optional(),
  organization_id: z.string().optional(),
});
const subscription = z.object({ id: z.string(), organization_id: z.string() });
const ocmCluster = z.object({
  name: z.string(),
  state: z.string(),
  subscription: z.object({ id: z.string() }),
  console: z.object({ url: z.string().optional() }).optional(),
  external_auth_config: z.object({ enabled: z.boolean().optional() }).optional(),
});

type Labels = ReadonlyMap<string, string>;

/** Ids in one search: a longer list would not fit into a URL. */
const idsPerSearch = 50;

/**
 * Clusters as OCM's labels want them. Labels stand on a subscription or on a whole organization, and the
 * subscription's win. A cluster that is not ready is part of the answer, as not ready: leaving it out would
 * read as "deleted".
 */
export function createOcmDiscovery(options: DiscoverOptions): DiscoverClusters {
  const { client, labelPrefix, organizations } = options;

  return async (signal) => {
    const labels = await client(
      {
        name: 'list_labels',
        path: '/api/accounts_mgmt/v1/labels',
        search: `key like ${quoted(`${labelPrefix}%`)} and type in ('Subscription', 'Organization')`,
        entry: label,
      },
      signal,
    );
    const bySubscription = groupLabels(labels, 'Subscription', 'subscription_id');
    const byOrganization = groupLabels(labels, 'Organization', 'organization_id');
    const subscriptions = [
      ...(await inChunks([...bySubscription.keys()], (ids) => listSubscriptions('id', ids, signal))),
      ...(await inChunks([...byOrganization.keys()], (ids) =>
        listSubscriptions('organization_id', ids, signal),
      )),
    ];
    const organizationOf = new Map(subscriptions.map(({ id, organization_id }) => [id, organization_id]));
    const clusters = await inChunks([...organizationOf.keys()], (ids) => listClusters(ids, signal));
    return clusters.flatMap((found) => {
      const { id } = found.subscription;
      const organizationId = organizationOf.get(id) ?? '';
      if (organizations !== undefined && !organizations.includes(organizationId)) return [];
      const own = new Map([...(byOrganization.get(organizationId) ?? []), ...(bySubscription.get(id) ?? [])]);
      const status = statusFrom(own, labelPrefix);
      return status === undefined
        ? []
        : [clusterFrom(found, organizationId, { labels: own, status, labelPrefix })];
    });
  };

  function listSubscriptions(field: 'id' | 'organization_id', ids: readonly string[], signal: AbortSignal) {
    const search = `${field} in (${ids.map(quoted).join(', ')}) and managed = 'true' and status in ('Active', 'Reserved')`;
    const path = '/api/accounts_mgmt/v1/subscriptions';
    return client({ name: 'list_subscriptions', path, search, entry: subscription }, signal);
  }

  function listClusters(ids: readonly string[], signal: AbortSignal) {
    const search = `subscription.id in (${ids.map(quoted).join(', ')}) and managed = 'true' and product.id in ('osd', 'rosa')`;
    return client(
      { name: 'list_clusters', path: '/api/clusters_mgmt/v1/clusters', search, entry: ocmCluster },
      signal,
    );
  }
}

function groupLabels(
  labels: readonly z.infer<typeof label>[],
  type: string,
  owner: 'subscription_id' | 'organization_id',
): ReadonlyMap<string, Labels> {
  const byOwner = new Map<string, Map<string, string>>();
  for (const each of labels) {
    const id = each[owner];
    if (each.type !== type || id === undefined) continue;
    const own = byOwner.get(id) ?? new Map<string, string>();
    byOwner.set(id, own.set(each.key, each.value));
  }
  return byOwner;
}

async function inChunks<T>(
  ids: readonly string[],
  list: (chunk: readonly string[]) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  const found: T[] = [];
  for (let start = 0; start < ids.length; start += idsPerSearch)
    found.push(...(await list(ids.slice(start, start + idsPerSearch))));
  return found;
}

const statuses: ReadonlySet<string> = new Set<SsoStatus>([
  'enabled',
  'enforced',
  'sso-client-only',
  'disabled',
]);

function isStatus(word: string | undefined): word is SsoStatus {
  return word !== undefined && statuses.has(word);
}

/** The bare prefix is the older label and wins. Undefined: no word that we know, which is nobody's order to remove. */
function statusFrom(labels: Labels, prefix: string): SsoStatus | undefined {
  const word = labels.get(prefix) ?? labels.get(`${prefix}.status`);
  return isStatus(word) ? word : undefined;
}

interface Wish {
  readonly labels: Labels;
  readonly status: SsoStatus;
  readonly labelPrefix: string;
}

function clusterFrom(found: z.infer<typeof ocmCluster>, organizationId: string, wish: Wish): Cluster {
  const { labels, status, labelPrefix } = wish;
  const textFrom = (name: string): string | undefined => labels.get(`${labelPrefix}.${name}`) || undefined;
  return {
    name: found.name,
    organizationId,
    status,
    ready: found.state === 'ready',
    externalAuth: found.external_auth_config?.enabled === true,
    consoleUrl: found.console?.url || undefined,
    authName: textFrom('name'),
    issuer: textFrom('issuer'),
    groupFilterRegex: textFrom('group-filter-regex'),
  };
}
