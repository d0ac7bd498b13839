import type { Answer, BodyAnswer } from './answer.ts';
import type { ApiRequest } from './api-request.ts';
import type { UserInfo } from './authentication.ts';
import type { ObjectStore } from './object-store.ts';
import { fieldsOf, keyOf, type ObjectKey, type StoredObject } from './objects.ts';
import type { ObjectWrites, Preconditions, Written } from './object-writes.ts';
import { readPatch } from './patch.ts';
import { readRepresentation, represent, representList } from './representation.ts';
import { mediaTypeOf } from './request-body.ts';
import type { ResourceRequest, ResourceVerb } from './request-info.ts';
import { namespaces, type Resource } from './resources.ts';
import { readText } from './review-body.ts';
import { readSelector } from './selectors.ts';
import {
  badRequest,
  methodNotAllowed,
  notFound,
  resourceDetails,
  success,
  unknownResource,
} from './status.ts';
import { openWatch } from './watch.ts';

/** What a request is about, and who makes it. */
export interface ObjectRequest {
  readonly resource: Resource;
  readonly info: ResourceRequest;
  readonly user: UserInfo;
}

/** Answers a request for stored objects; throws a StatusError for what it refuses. */
export type ObjectRoutes = (about: ObjectRequest, request: ApiRequest) => Promise<Answer>;

type Verbs = Readonly<Record<ResourceVerb, () => Answer | Promise<Answer>>>;

export function createObjectRoutes(store: ObjectStore, writes: ObjectWrites): ObjectRoutes {
  return async ({ resource, info, user }, { query, headers, body }) => {
    requirePath(resource, info);
    // Refused, where ignoring it would change what was not meant to be changed.
    if (query.has('dryRun')) throw noDryRun();
    const key: ObjectKey = { namespace: resource.namespaced ? info.namespace : '', name: info.name };
    const target = { resource, key, requester: user };
    const chosen = () => store.list(resource, namespaceOf(resource, info)).filter(readSelector(query));

    const verbs: Verbs = {
      get: () => {
        const object = store.find(resource, key);
        if (object === undefined) throw notFound(resource, key.name);
        return ok(represent(object, readRepresentation(headers.accept, 'object')));
      },
      list: () => ok(representList(store, resource, chosen(), readRepresentation(headers.accept, 'list'))),
      watch: () => {
        const representation = readRepresentation(headers.accept, 'object');
        const namespace = namespaceOf(resource, info);
        return { watch: openWatch({ store, resource, namespace, representation, query }) };
      },
      create: async () => ({ status: 201, body: writes.create(target, await body()) }),
      update: async () => answerWritten(writes.update(target, await body())),
      patch: async () =>
        answerWritten(writes.patch(target, readPatch(mediaTypeOf(headers), query, await body()))),
      delete: async () => {
        const object = writes.remove(target, readDeleteOptions(query, await body()));
        const isGone = store.find(resource, key) === undefined;
        return isGone && resource.returnsDeleted !== true ? ok(deletionStatus(resource, object)) : ok(object);
      },
      deletecollection: async () => {
        readDeleteOptions(query, await body());
        // The removal of one may have taken another with it.
        const isThere = (object: StoredObject) => store.find(resource, keyOf(object)) !== undefined;
        const removed = chosen().flatMap((object) =>
          isThere(object) ? [writes.remove({ resource, key: keyOf(object) })] : [],
        );
        return ok(representList(store, resource, removed, 'whole'));
      },
    };
    return verbs[info.verb]();
  };
}

/** Refuses the paths and methods that a resource does not have: 404, 405. */
function requirePath(resource: Resource, { verb, namespace, name, subresource }: ResourceRequest): void {
  if (subresource !== '') throw unknownResource();
  // The path of a namespace is that of a cluster-wide object, and yet names a namespace: itself.
  if (!resource.namespaced && namespace !== '' && resource !== namespaces) throw unknownResource();
  if (verb === 'create' && name !== '') throw methodNotAllowed();
  if ((verb === 'update' || verb === 'patch') && name === '') throw methodNotAllowed();
  if (verb === 'deletecollection' && resource === namespaces) throw methodNotAllowed();
  if (!resource.namespaced || namespace !== '' || verb === 'list' || verb === 'watch') return;
  throw verb === 'create' || verb === 'deletecollection' ? methodNotAllowed() : unknownResource();
}

/** The namespace that a list or a watch is limited to, if it is. */
function namespaceOf(resource: Resource, { namespace }: ResourceRequest): string | undefined {
  return resource.namespaced && namespace !== '' ? namespace : undefined;
}

/** Background deletion is what happens whatever the propagation policy; orphaning is refused. */
function readDeleteOptions(query: URLSearchParams, body: unknown): Preconditions {
  const sent = fieldsOf(body);
  if (sent['dryRun'] !== undefined) throw noDryRun();
  const policy = query.get('propagationPolicy') ?? readText(sent, 'propagationPolicy');
  if (policy === 'Orphan') throw badRequest('the sandbox does not know the propagation policy Orphan');
  const preconditions = fieldsOf(sent['preconditions']);
  const uid = readText(preconditions, 'uid');
  const resourceVersion = readText(preconditions, 'resourceVersion');
  return { ...(uid === '' ? {} : { uid }), ...(resourceVersion === '' ? {} : { resourceVersion }) };
}

function noDryRun(): Error {
  return badRequest('the sandbox does not know dryRun');
}

function deletionStatus(resource: Resource, { metadata }: StoredObject): unknown {
  return success({ ...resourceDetails(resource, metadata.name), uid: metadata.uid });
}

function answerWritten({ object, created }: Written): BodyAnswer {
  return { status: created ? 201 : 200, body: object };
}

function ok(body: unknown): BodyAnswer {
  return { status: 200, body };
}
