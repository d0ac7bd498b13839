import { apiVersionOf, type Resource, type Resources } from './resources.ts';

/**
 * What the server says of itself to clients that look for its API, kubectl first of all: the legacy
 * documents of "The Kubernetes API", section Discovery. Each function answers one path, or undefined for a
 * group or version that is not served.
 */
export interface Discovery {
  /** `/api` */
  readonly coreVersions: () => unknown;
  /** `/apis` */
  readonly groups: () => unknown;
  /** `/apis/{group}` */
  readonly group: (group: string) => unknown;
  /** `/api/v1` and `/apis/{group}/{version}` */
  readonly resources: (group: string, version: string) => unknown;
  /** `/version` */
  readonly version: () => unknown;
}

const storedVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** What can only be created, and is answered instead of stored. */
const reviews = [
  { group: 'authentication.k8s.io', name: 'tokenreviews', kind: 'TokenReview' },
  { group: 'authorization.k8s.io', name: 'subjectaccessreviews', kind: 'SubjectAccessReview' },
] as const;

export function createDiscovery(resources: Resources): Discovery {
  const groupVersions = () => {
    const stored = resources.all().map(({ group, version }) => ({ group, version }));
    const asked = reviews.map(({ group }) => ({ group, version: 'v1' }));
    const byName = new Map([...stored, ...asked].map((row) => [apiVersionOf(row), row]));
    return [...byName.values()].filter(({ group }) => group !== '');
  };
  const groupOf = (name: string) => {
    const versions = groupVersions()
      .filter(({ group }) => group === name)
      .map((row) => ({ groupVersion: apiVersionOf(row), version: row.version }));
    return versions.length === 0 ? undefined : { name, versions, preferredVersion: versions[0] };
  };

  return {
    coreVersions: () => ({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] }),
    groups: () => {
      const names = new Set(groupVersions().map(({ group }) => group));
      return { kind: 'APIGroupList', apiVersion: 'v1', groups: [...names].map(groupOf) };
    },
    group: (name) => {
      const group = groupOf(name);
      return group === undefined ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...group };
    },
    resources: (group, version) => {
      const stored = resources.all().filter((row) => row.group === group && row.version === version);
      const asked = reviews.filter((row) => row.group === group && version === 'v1');
      if (stored.length + asked.length === 0) return undefined;
      return {
        kind: 'APIResourceList',
        apiVersion: 'v1',
        groupVersion: apiVersionOf({ group, version }),
        resources: [...stored.flatMap(storedEntries), ...asked.map(reviewEntry)],
      };
    },
    // The release whose behaviour this server was compared with.
    version: () => ({ major: '1', minor: '36', gitVersion: 'v1.36.3+tiergate-sandbox' }),
  };
}

function storedEntries({ plural, kind, namespaced }: Resource): readonly unknown[] {
  const entry = { name: plural, singularName: kind.toLowerCase(), namespaced, kind, verbs: storedVerbs };
  if (kind !== 'ServiceAccount') return [entry];
  const token = {
    name: `${plural}/token`,
    singularName: '',
    namespaced,
    group: 'authentication.k8s.io',
    version: 'v1',
    kind: 'TokenRequest',
    verbs: ['create'],
  };
  return [entry, token];
}

function reviewEntry({ name, kind }: (typeof reviews)[number]): unknown {
  return { name, singularName: kind.toLowerCase(), namespaced: false, kind, verbs: ['create'] };
}
