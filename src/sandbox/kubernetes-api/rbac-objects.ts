import { fieldsOf, type Fields, isFields, isTextList, type Manifest, type StoredObject } from './objects.ts';
import type { ObjectStore } from './object-store.ts';
import type { Binding, BindingSubject, PolicyRule, RbacPolicy, RoleRef } from './rbac.ts';
import { clusterRoleBindings, clusterRoles, type Resource, roleBindings, roles } from './resources.ts';
import { badRequest, invalid, invalidField, requiredField, type StatusCause } from './status.ts';

/** The policy that the stored Roles and bindings make up, always as they are at the time of asking. */
export function rbacPolicyOf(store: ObjectStore): RbacPolicy {
  const rulesOf = readOnce((object) => readRules(roleResourceOf(object), object));
  const bindingOf = readOnce((object) => readBinding(bindingResourceOf(object), object));
  return {
    clusterRoleBindings: () => store.list(clusterRoleBindings).map(bindingOf),
    roleBindings: (namespace) => store.list(roleBindings, namespace).map(bindingOf),
    rulesOf: (roleRef, namespace) => {
      const role =
        roleRef.kind === 'Role'
          ? store.find(roles, { namespace, name: roleRef.name })
          : store.find(clusterRoles, { namespace: '', name: roleRef.name });
      return role === undefined ? undefined : rulesOf(role);
    },
  };
}

/** Stored objects never change, so that what was read from one holds as long as it lives. */
function readOnce<T>(read: (object: StoredObject) => T): (object: StoredObject) => T {
  const known = new WeakMap<StoredObject, { readonly value: T }>();
  return (object) => {
    let entry = known.get(object);
    if (entry === undefined) {
      entry = { value: read(object) };
      known.set(object, entry);
    }
    return entry.value;
  };
}

const roleResourceOf = (object: Manifest) => (object.kind === 'Role' ? roles : clusterRoles);
const bindingResourceOf = (object: Manifest) =>
  object.kind === 'RoleBinding' ? roleBindings : clusterRoleBindings;

/** The rules of a Role or ClusterRole; throws a StatusError: 400 for wrong types, 422 for wrong rules. */
export function readRules(resource: Resource, object: Manifest): readonly PolicyRule[] {
  const rules = listOf(object['rules'], 'rules').map(
    (rule): PolicyRule => ({
      verbs: textsOf(rule['verbs'], 'verbs'),
      apiGroups: textsOf(rule['apiGroups'], 'apiGroups'),
      resources: textsOf(rule['resources'], 'resources'),
      resourceNames: textsOf(rule['resourceNames'], 'resourceNames'),
      nonResourceURLs: textsOf(rule['nonResourceURLs'], 'nonResourceURLs'),
    }),
  );
  refuse(
    resource,
    object,
    rules.flatMap((rule, index) => ruleFaults(rule, `rules[${index}]`, resource)),
  );
  return rules;
}

function ruleFaults(rule: PolicyRule, path: string, resource: Resource): readonly StatusCause[] {
  const faults: StatusCause[] = [];
  if (rule.verbs.length === 0)
    faults.push(requiredField(`${path}.verbs`, 'verbs must contain at least one value'));
  if (rule.nonResourceURLs.length > 0) {
    if (resource.namespaced)
      faults.push(invalidField(`${path}.nonResourceURLs`, rule.nonResourceURLs, 'a Role has no such rules'));
    else if (rule.apiGroups.length + rule.resources.length + rule.resourceNames.length > 0)
      faults.push(
        invalidField(`${path}.nonResourceURLs`, rule.nonResourceURLs, 'not together with resources'),
      );
    return faults;
  }
  if (rule.apiGroups.length === 0)
    faults.push(requiredField(`${path}.apiGroups`, 'resource rules must supply at least one api group'));
  if (rule.resources.length === 0)
    faults.push(requiredField(`${path}.resources`, 'resource rules must supply at least one resource'));
  return faults;
}

const roleKinds = { rolebindings: ['Role', 'ClusterRole'], clusterrolebindings: ['ClusterRole'] };
const subjectKinds = ['ServiceAccount', 'User', 'Group'];

/** A RoleBinding or ClusterRoleBinding; throws a StatusError as readRules does. */
export function readBinding(resource: Resource, object: Manifest): Binding {
  const roleRef = fieldsOf(object['roleRef']);
  const subjects = listOf(object['subjects'], 'subjects');
  const isClusterWide = !resource.namespaced;
  const supported = isClusterWide ? roleKinds.clusterrolebindings : roleKinds.rolebindings;
  const faults = [
    ...notSupported('roleRef.kind', roleRef['kind'], supported),
    ...required('roleRef.name', roleRef['name']),
  ];
  for (const [index, subject] of subjects.entries()) {
    const path = `subjects[${index}]`;
    faults.push(
      ...notSupported(`${path}.kind`, subject['kind'], subjectKinds),
      ...required(`${path}.name`, subject['name']),
    );
    if (subject['kind'] === 'ServiceAccount' && isClusterWide)
      faults.push(...required(`${path}.namespace`, subject['namespace']));
  }
  refuse(resource, object, faults);
  return {
    kind: isClusterWide ? 'ClusterRoleBinding' : 'RoleBinding',
    name: object.metadata.name ?? '',
    namespace: object.metadata.namespace ?? '',
    roleRef: roleRef as unknown as RoleRef,
    subjects: subjects as readonly unknown[] as readonly BindingSubject[],
  };
}

function refuse(resource: Resource, object: Manifest, faults: readonly StatusCause[]): void {
  if (faults.length > 0) throw invalid(resource, object.metadata.name ?? '', faults);
}

function required(field: string, value: unknown): readonly StatusCause[] {
  return typeof value === 'string' && value !== '' ? [] : [requiredField(field, 'must be a name')];
}

function notSupported(field: string, value: unknown, supported: readonly string[]): readonly StatusCause[] {
  if (supported.some((word) => word === value)) return [];
  const message = `Unsupported value: ${JSON.stringify(value ?? '')}: supported values: ${supported.join(', ')}`;
  return [{ reason: 'FieldValueNotSupported', message, field }];
}

function listOf(value: unknown, field: string): readonly Fields[] {
  const list = value ?? [];
  if (Array.isArray(list) && list.every(isFields)) return list;
  throw badRequest(`${field} must be a list of objects`);
}

function textsOf(value: unknown, field: string): readonly string[] {
  const list = value ?? [];
  if (isTextList(list)) return list;
  throw badRequest(`${field} must be a list of strings`);
}
