import type { ObjectStore } from './object-store.ts';
import type { StoredObject } from './objects.ts';
import { apiVersionOf, type Resource } from './resources.ts';
import { notAcceptable } from './status.ts';

/** How objects are shown: whole, or as PartialObjectMetadata ("Kubernetes API Concepts": metadata-only fetches). */
export type Representation = 'whole' | 'metadata';

const partialObject = 'PartialObjectMetadata';
const partialList = 'PartialObjectMetadataList';
const metaApiVersion = 'meta.k8s.io/v1';

/**
 * The first media range of `Accept` that can be served; JSON only, protobuf and tables are passed over.
 * Throws a StatusError (406) when there is none, or when metadata is asked for in the shape of the other:
 * lists want PartialObjectMetadataList, single objects and watches PartialObjectMetadata.
 */
export function readRepresentation(accept: string | undefined, shape: 'object' | 'list'): Representation {
  const wanted = shape === 'list' ? partialList : partialObject;
  for (const range of (accept ?? '*/*').split(',')) {
    const [mediaType = '', ...parameters] = range.split(';').map((part) => part.trim());
    if (!['application/json', 'application/*', '*/*'].includes(mediaType)) continue;
    const as = parameters.find((parameter) => parameter.startsWith('as='))?.slice(3);
    if (as === undefined) return 'whole';
    if (as === wanted) return 'metadata';
    if (as === partialObject || as === partialList)
      throw notAcceptable(`you requested ${as}, but this is ${shape === 'list' ? 'a list' : 'no list'}`);
  }
  throw notAcceptable('only application/json is available');
}

export function represent(object: StoredObject, representation: Representation): unknown {
  if (representation === 'whole') return object;
  return { kind: partialObject, apiVersion: metaApiVersion, metadata: object.metadata };
}

/** All of it in one answer: `limit` and `continue` are not looked at, which the API allows a server. */
export function representList(
  store: ObjectStore,
  resource: Resource,
  objects: readonly StoredObject[],
  representation: Representation,
): unknown {
  const isPartial = representation === 'metadata';
  return {
    kind: isPartial ? partialList : `${resource.kind}List`,
    apiVersion: isPartial ? metaApiVersion : apiVersionOf(resource),
    metadata: { resourceVersion: String(store.revision()) },
    items: objects.map((object) =>
      isPartial ? represent(object, representation) : listEntry(resource, object),
    ),
  };
}

/** Entries of built-in lists do not repeat what they are. */
function listEntry(resource: Resource, object: StoredObject): unknown {
  if (resource.custom === true) return object;
  const { kind: _kind, apiVersion: _apiVersion, ...rest } = object;
  return rest;
}

/** The object of a BOOKMARK event: nothing but a version to go on from. */
export function bookmark(
  resource: Resource,
  revision: number,
  representation: Representation,
  annotations: Readonly<Record<string, string>> = {},
): unknown {
  const isPartial = representation === 'metadata';
  return {
    kind: isPartial ? partialObject : resource.kind,
    apiVersion: isPartial ? metaApiVersion : apiVersionOf(resource),
    metadata: {
      resourceVersion: String(revision),
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    },
  };
}
