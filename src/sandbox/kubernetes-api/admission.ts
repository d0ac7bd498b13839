import { isDeepStrictEqual } from 'node:util';
import type { ObjectStore } from './object-store.ts';
import { fieldsOf, isTextMap, type Manifest, type StoredObject } from './objects.ts';
import { type Binding, decide, holdsRules, type RbacPolicy, type Requester } from './rbac.ts';
import { readBinding, readRules } from './rbac-objects.ts';
import {
  clusterRoleBindings,
  clusterRoles,
  configMaps,
  namespaces,
  type Resource,
  roleBindings,
  roles,
  secrets,
} from './resources.ts';
import { badRequest, forbidden, invalid, invalidField, notFound, tooLongField } from './status.ts';

/** An object on its way into the store. */
export interface Admitted {
  readonly resource: Resource;
  /** With its final name and namespace. */
  readonly object: Manifest;
  /** What it replaces. */
  readonly existing: StoredObject | undefined;
  /** Who writes; undefined for the server itself, which may grant anything. */
  readonly requester: Requester | undefined;
}

export type Admit = (admitted: Admitted) => Manifest;

/**
 * What the real server's admission and per-kind strategies do to an object before it is stored: fills in
 * what its kind has by default, and throws a StatusError for what can't be.
 */
export function createAdmission(store: ObjectStore, policy: RbacPolicy): Admit {
  return (admitted) => {
    const { resource, existing } = admitted;
    if (existing === undefined && resource.namespaced) requireActiveNamespace(store, admitted);
    switch (resource) {
      case namespaces:
        return asNamespace(admitted);
      case secrets:
        return asSecret(admitted);
      case configMaps:
        return withinSize(admitted);
      case roles:
      case clusterRoles:
        return asRole(policy, admitted);
      case roleBindings:
      case clusterRoleBindings:
        return asBinding(policy, admitted);
      default:
        return admitted.object;
    }
  };
}

function requireActiveNamespace(store: ObjectStore, { resource, object }: Admitted): void {
  const name = object.metadata.namespace ?? '';
  const namespace = store.find(namespaces, { namespace: '', name });
  if (namespace === undefined) throw notFound(namespaces, name);
  if (namespace.metadata.deletionTimestamp === undefined) return;
  const message = `namespace ${name} is being terminated`;
  throw forbidden(
    resource,
    object.metadata.name ?? '',
    `unable to create new content in namespace ${name} because it is being terminated`,
    [{ reason: 'NamespaceTerminating', message, field: 'metadata.namespace' }],
  );
}

/** `spec.finalizers` keeps it until its content is gone; `status` is the server's. */
function asNamespace({ object, existing }: Admitted): Manifest {
  const labels = { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name ?? '' };
  const spec = existing?.['spec'] ?? { finalizers: ['kubernetes'] };
  const status = existing?.['status'] ?? { phase: 'Active' };
  return { ...object, metadata: { ...object.metadata, labels }, spec, status };
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function asSecret(admitted: Admitted): Manifest {
  const { stringData, ...object } = admitted.object;
  const data = { ...fieldsOf(object['data']) };
  if (!isTextMap(data) || !Object.values(data).every((value) => base64.test(value)))
    throw badRequest('data of a Secret must be base64');
  const plain = stringData ?? {};
  if (!isTextMap(plain)) throw badRequest('stringData of a Secret must be strings');
  const encoded = Object.entries(plain).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  const all = { ...data, ...Object.fromEntries(encoded) };
  const type = object['type'] ?? admitted.existing?.['type'] ?? 'Opaque';
  const filled = Object.keys(all).length === 0 ? { ...object, type } : { ...object, data: all, type };
  return withinSize({ ...admitted, object: filled });
}

const maxDataBytes = 1_048_576;

/** ConfigMaps and Secrets hold at most 1 MiB. */
function withinSize({ resource, object }: Admitted): Manifest {
  const data = object['data'] ?? {};
  if (!isTextMap(data)) throw badRequest(`data of a ${resource.kind} must be strings`);
  const bytes = Object.entries(data).reduce(
    (sum, [key, value]) => sum + key.length + Buffer.byteLength(value),
    0,
  );
  if (bytes <= maxDataBytes) return object;
  throw invalid(resource, object.metadata.name ?? '', [tooLongField('data', maxDataBytes)]);
}

/** Nobody can make a role that allows more than they may themselves, unless they may `escalate`. */
function asRole(policy: RbacPolicy, { resource, object, existing, requester }: Admitted): Manifest {
  const rules = readRules(resource, object);
  const { name = '', namespace = '' } = object.metadata;
  if (requester === undefined || isDeepStrictEqual(object['rules'], existing?.['rules'])) return object;
  const access = { group: resource.group, resource: resource.plural, subresource: '', namespace, name };
  if (decide(policy, requester, { ...access, verb: 'escalate' }).allowed) return object;
  if (holdsRules(policy, requester, rules, namespace)) return object;
  throw escalation(resource, name, requester);
}

/** Nobody can bind a role that allows more than they may themselves, unless they may `bind` it. */
function asBinding(policy: RbacPolicy, { resource, object, existing, requester }: Admitted): Manifest {
  const binding = readBinding(resource, object);
  const { name, namespace, roleRef } = binding;
  if (existing !== undefined && !isSameRole(readBinding(resource, existing), binding))
    throw invalid(resource, name, [invalidField('roleRef', object['roleRef'], 'cannot change roleRef')]);
  if (requester === undefined) return object;
  const role = roleRef.kind === 'Role' ? roles : clusterRoles;
  const access = { group: role.group, resource: role.plural, subresource: '', namespace, name: roleRef.name };
  if (decide(policy, requester, { ...access, verb: 'bind' }).allowed) return object;
  const rules = policy.rulesOf(roleRef, namespace);
  if (rules === undefined) throw notFound(role, roleRef.name);
  if (holdsRules(policy, requester, rules, namespace)) return object;
  throw escalation(resource, name, requester);
}

function isSameRole(a: Binding, b: Binding): boolean {
  return a.roleRef.kind === b.roleRef.kind && a.roleRef.name === b.roleRef.name;
}

function escalation(resource: Resource, name: string, requester: Requester): Error {
  const message = `user "${requester.username}" is attempting to grant RBAC permissions not currently held`;
  return forbidden(resource, name, message);
}
