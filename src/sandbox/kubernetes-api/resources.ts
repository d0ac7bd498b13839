import { type Fields, fieldsOf, type StoredObject } from './objects.ts';

/** What a name of the resource may look like; see names.ts. */
export type NameRule = 'label' | 'subdomain' | 'path-segment';

export interface Resource {
  /** '' is the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly nameRule: NameRule;
  /** An update must name the resourceVersion that it replaces. */
  readonly requiresVersionOnUpdate?: boolean;
  /** An update of what does not exist creates it. */
  readonly createsOnUpdate?: boolean;
  /** A deletion answers with the object instead of a Status. */
  readonly returnsDeleted?: boolean;
  /**
   * Of a CustomResourceDefinition: must name its kind, counts generations, and its lists repeat the kind in
   * each entry.
   */
  readonly custom?: boolean;
}

const core = { group: '', version: 'v1', namespaced: true, nameRule: 'subdomain' } as const;
const rbac = {
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  nameRule: 'path-segment',
  createsOnUpdate: true,
} as const;
const custom = { custom: true, nameRule: 'subdomain', requiresVersionOnUpdate: true } as const;

export const namespaces: Resource = {
  ...core,
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
  nameRule: 'label',
  returnsDeleted: true,
};
export const serviceAccounts: Resource = {
  ...core,
  plural: 'serviceaccounts',
  kind: 'ServiceAccount',
  returnsDeleted: true,
};
export const secrets: Resource = { ...core, plural: 'secrets', kind: 'Secret' };
export const configMaps: Resource = { ...core, plural: 'configmaps', kind: 'ConfigMap' };
export const roles: Resource = { ...rbac, plural: 'roles', kind: 'Role', namespaced: true };
export const roleBindings: Resource = {
  ...rbac,
  plural: 'rolebindings',
  kind: 'RoleBinding',
  namespaced: true,
};
export const clusterRoles: Resource = {
  ...rbac,
  plural: 'clusterroles',
  kind: 'ClusterRole',
  namespaced: false,
};
export const clusterRoleBindings: Resource = {
  ...rbac,
  plural: 'clusterrolebindings',
  kind: 'ClusterRoleBinding',
  namespaced: false,
};
export const customResourceDefinitions: Resource = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
  nameRule: 'subdomain',
};

/** What exists from the start. LLMInferenceService too, so that a sandbox needs no definition of KServe's. */
const builtIn: readonly Resource[] = [
  namespaces,
  serviceAccounts,
  secrets,
  configMaps,
  { ...core, plural: 'events', kind: 'Event', createsOnUpdate: true },
  roles,
  roleBindings,
  clusterRoles,
  clusterRoleBindings,
  {
    group: 'coordination.k8s.io',
    version: 'v1',
    plural: 'leases',
    kind: 'Lease',
    namespaced: true,
    nameRule: 'subdomain',
    createsOnUpdate: true,
    requiresVersionOnUpdate: true,
  },
  {
    ...custom,
    group: 'serving.kserve.io',
    version: 'v1alpha1',
    plural: 'llminferenceservices',
    kind: 'LLMInferenceService',
    namespaced: true,
  },
  customResourceDefinitions,
];

/** Groups of resources that are only ever asked, never stored. */
const reviewGroups = new Set(['authentication.k8s.io/v1', 'authorization.k8s.io/v1']);

export interface Resources {
  readonly all: () => readonly Resource[];
  readonly named: (group: string, version: string, plural: string) => Resource | undefined;
  readonly ofKind: (apiVersion: string, kind: string) => Resource | undefined;
  /** Whether the group and version are the server's own and not a CustomResourceDefinition's. */
  readonly isBuiltIn: (group: string, version: string) => boolean;
}

/** The built-in resources, and those of the CustomResourceDefinitions that are stored at the time of asking. */
export function createResources(definitions: () => readonly StoredObject[]): Resources {
  const all = () => [...builtIn, ...definitions().flatMap(resourcesOfDefinition)];
  return {
    all,
    named: (group, version, plural) =>
      all().find((row) => row.group === group && row.version === version && row.plural === plural),
    ofKind: (apiVersion, kind) => all().find((row) => apiVersionOf(row) === apiVersion && row.kind === kind),
    isBuiltIn: (group, version) => {
      const groupVersion = apiVersionOf({ group, version });
      const isOwn = (row: Resource) => row.custom !== true && apiVersionOf(row) === groupVersion;
      return reviewGroups.has(groupVersion) || builtIn.some(isOwn);
    },
  };
}

export function apiVersionOf(resource: Pick<Resource, 'group' | 'version'>): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

/**
 * Only the storage version is served: there are no conversions here. Neither schema nor subresources of a
 * definition are looked at, so `status` is a field like any other.
 */
function resourcesOfDefinition(definition: StoredObject): readonly Resource[] {
  const spec = fieldsOf(definition['spec']);
  const names = fieldsOf(spec['names']);
  const versions = Array.isArray(spec['versions']) ? (spec['versions'] as readonly Fields[]) : [];
  const version = versions.find((row) => row['storage'] === true)?.['name'];
  const { plural, kind } = { plural: names['plural'], kind: names['kind'] };
  const group = spec['group'];
  if (typeof group !== 'string' || typeof version !== 'string') return [];
  if (typeof plural !== 'string' || typeof kind !== 'string') return [];
  return [{ ...custom, group, version, plural, kind, namespaced: spec['scope'] === 'Namespaced' }];
}
