import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Admit } from './admission.ts';
import { readManifest, validateMeta } from './manifest.ts';
import { generatedName } from './names.ts';
import type { ObjectStore, Unversioned } from './object-store.ts';
import { type Manifest, type ObjectKey, type ObjectMeta, type StoredObject, timestamp } from './objects.ts';
import { appliedToNothing, mergePatch, type Patch } from './patch.ts';
import type { Requester } from './rbac.ts';
import { namespaces, type Resource } from './resources.ts';
import {
  alreadyExists,
  badRequest,
  conflict,
  forbiddenField,
  invalid,
  invalidField,
  notFound,
  requiredField,
  StatusError,
} from './status.ts';

/** Where a write goes and who makes it; undefined is the server itself. */
export interface Target {
  readonly resource: Resource;
  readonly key: ObjectKey;
  readonly requester: Requester | undefined;
}

export interface Preconditions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface Written {
  readonly object: StoredObject;
  readonly created: boolean;
}

/** The verbs that change objects. All of them throw a StatusError for what they refuse. */
export interface ObjectWrites {
  /** The name of the key is not looked at: the body's counts, or its `generateName`. */
  readonly create: (target: Target, body: unknown) => StoredObject;
  readonly update: (target: Target, body: unknown) => Written;
  readonly patch: (target: Target, patch: Patch) => Written;
  /** Returns the object as it was, or as it stays while finalizers keep it (`deletionTimestamp` is set). */
  readonly remove: (target: Omit<Target, 'requester'>, preconditions?: Preconditions) => StoredObject;
}

export interface ObjectWritesOptions {
  readonly store: ObjectStore;
  readonly admit: Admit;
  readonly now: () => number;
}

export function createObjectWrites({ store, admit, now }: ObjectWritesOptions): ObjectWrites {
  function create({ resource, key, requester }: Target, body: unknown): StoredObject {
    const manifest = placed(readManifest(resource, body), resource, key);
    if (manifest.metadata.resourceVersion !== undefined)
      throw new StatusError(500, '', 'resourceVersion should not be set on objects to be created');
    const name = manifest.metadata.name ?? newName(resource, manifest.metadata.generateName);
    const named = { ...manifest, metadata: { ...manifest.metadata, name } };
    const object = admit({ resource, object: named, existing: undefined, requester });
    validateMeta(resource, object.metadata);
    if (store.find(resource, { namespace: key.namespace, name }) !== undefined)
      throw alreadyExists(resource, name);
    const { resourceVersion: _none, ...metadata } = object.metadata;
    const owned = { name, uid: randomUUID(), creationTimestamp: timestamp(now()) };
    const generation = resource.custom === true ? { generation: 1 } : {};
    return store.write(resource, { ...object, metadata: { ...metadata, ...owned, ...generation } });
  }

  function update(target: Target, body: unknown): Written {
    const { resource, key } = target;
    const manifest = placed(readManifest(resource, body), resource, key);
    const sentName = manifest.metadata.name;
    if (sentName === undefined)
      throw badRequest('the name of the object was undeterminable: name must be provided');
    if (sentName !== key.name)
      throw badRequest(
        `the name of the object (${sentName}) does not match the name on the URL (${key.name})`,
      );
    const existing = store.find(resource, key);
    if (existing === undefined) {
      if (resource.createsOnUpdate !== true) throw notFound(resource, key.name);
      return { object: create(target, withoutVersion(manifest)), created: true };
    }
    if (resource.requiresVersionOnUpdate === true && manifest.metadata.resourceVersion === undefined) {
      const why = 'must be specified for an update';
      throw invalid(resource, key.name, [invalidField('metadata.resourceVersion', 0, why)]);
    }
    return { object: replace(target, existing, manifest), created: false };
  }

  function patch(target: Target, change: Patch): Written {
    const { resource, key } = target;
    const existing = store.find(resource, key);
    if (existing !== undefined) return update(target, mergePatch(existing, change));
    if (change.kind === 'merge') throw notFound(resource, key.name);
    return { object: create(target, appliedToNothing(resource, key.name, change)), created: true };
  }

  function replace(
    { resource, key, requester }: Target,
    existing: StoredObject,
    manifest: Manifest,
  ): StoredObject {
    refuseStale(resource, existing, manifest.metadata);
    const admitted = admit({ resource, object: manifest, existing, requester });
    validateMeta(resource, admitted.metadata);
    refuseNewFinalizers(resource, existing, admitted.metadata);
    const next = withServerMeta(resource, admitted, existing);
    if (existing.metadata.deletionTimestamp !== undefined && !isKept(resource, next)) {
      store.erase(resource, key);
      return { ...next, metadata: { ...next.metadata, resourceVersion: String(store.revision()) } };
    }
    const { resourceVersion } = existing.metadata;
    // Nothing changed: no new version and no event.
    if (isDeepStrictEqual({ ...next, metadata: { ...next.metadata, resourceVersion } }, existing))
      return existing;
    return store.write(resource, next);
  }

  function remove(target: Omit<Target, 'requester'>, preconditions: Preconditions = {}): StoredObject {
    const { resource, key } = target;
    const existing = store.find(resource, key);
    if (existing === undefined) throw notFound(resource, key.name);
    requirePreconditions(resource, existing, preconditions);
    if (!isKept(resource, existing)) {
      store.erase(resource, key);
      return existing;
    }
    if (existing.metadata.deletionTimestamp !== undefined) return existing;
    const deletion = { deletionTimestamp: timestamp(now()), deletionGracePeriodSeconds: 0 };
    const status = resource === namespaces ? { status: { phase: 'Terminating' } } : {};
    const { resourceVersion: _old, ...metadata } = existing.metadata;
    return store.write(resource, { ...existing, ...status, metadata: { ...metadata, ...deletion } });
  }

  return { create, update, patch, remove };
}

/** The body's namespace must be the request's; the answer always has it. */
function placed(manifest: Manifest, resource: Resource, key: ObjectKey): Manifest {
  const { namespace: sent, ...metadata } = manifest.metadata;
  if (sent !== undefined && sent !== key.namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  return resource.namespaced
    ? { ...manifest, metadata: { ...metadata, namespace: key.namespace } }
    : { ...manifest, metadata };
}

/** An update that creates may carry the version of what is no longer there. */
function withoutVersion(manifest: Manifest): Manifest {
  const { resourceVersion: _stale, ...metadata } = manifest.metadata;
  return { ...manifest, metadata };
}

function newName(resource: Resource, generateName: string | undefined): string {
  if (generateName !== undefined) return generatedName(generateName);
  throw invalid(resource, '', [requiredField('metadata.name', 'name or generateName is required')]);
}

function refuseStale(resource: Resource, existing: StoredObject, sent: ObjectMeta): void {
  const { name, uid, resourceVersion } = existing.metadata;
  if (sent.resourceVersion !== undefined && sent.resourceVersion !== resourceVersion)
    throw conflict(
      resource,
      name,
      'the object has been modified; please apply your changes to the latest version and try again',
    );
  if (sent.uid !== undefined && sent.uid !== uid)
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${sent.uid}, UID in object meta: ${uid}`,
    );
}

function refuseNewFinalizers(resource: Resource, existing: StoredObject, sent: ObjectMeta): void {
  if (existing.metadata.deletionTimestamp === undefined) return;
  const known = existing.metadata.finalizers ?? [];
  const added = (sent.finalizers ?? []).filter((finalizer) => !known.includes(finalizer));
  if (added.length === 0) return;
  const why = `no new finalizers can be added if the object is being deleted, found ${added.join(', ')}`;
  throw invalid(resource, existing.metadata.name, [forbiddenField('metadata.finalizers', why)]);
}

function requirePreconditions(resource: Resource, existing: StoredObject, wanted: Preconditions): void {
  const { name, uid, resourceVersion } = existing.metadata;
  const mismatch = (what: string, sent: string, stored: string) =>
    conflict(
      resource,
      name,
      `the ${what} in the precondition (${sent}) does not match the ${what} in record (${stored})`,
    );
  if (wanted.uid !== undefined && wanted.uid !== uid) throw mismatch('UID', wanted.uid, uid);
  if (wanted.resourceVersion !== undefined && wanted.resourceVersion !== resourceVersion)
    throw mismatch('ResourceVersion', wanted.resourceVersion, resourceVersion);
}

/** What the server owns stays as it is, whatever the client sent. */
function withServerMeta(resource: Resource, next: Manifest, existing: StoredObject): Unversioned {
  const { resourceVersion: _sent, ...sent } = next.metadata;
  const { name, uid, creationTimestamp, generateName, deletionTimestamp, deletionGracePeriodSeconds } =
    existing.metadata;
  const kept = {
    name,
    uid,
    creationTimestamp,
    ...(generateName === undefined ? {} : { generateName }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    ...(deletionGracePeriodSeconds === undefined ? {} : { deletionGracePeriodSeconds }),
  };
  if (resource.custom !== true) return { ...next, metadata: { ...sent, ...kept } };
  const before = existing.metadata.generation ?? 1;
  const generation = isDeepStrictEqual(specOf(next), specOf(existing)) ? before : before + 1;
  return { ...next, metadata: { ...sent, ...kept, generation } };
}

function specOf({ metadata: _metadata, status: _status, ...rest }: Manifest): unknown {
  return rest;
}

/** Whether finalizers hold a deleted object back: its own, or a namespace's content. */
function isKept(resource: Resource, object: Pick<StoredObject, 'metadata'> | Unversioned): boolean {
  return resource === namespaces || (object.metadata.finalizers ?? []).length > 0;
}
