import type { Collection } from './collection.ts';
import { isRecord, isTextMap } from './json-shape.ts';
import type { Kept } from './object-store.ts';

/** All that is kept of an object: a few hundred bytes, whatever its size. */
export interface KeptMetadata extends Kept {
  readonly namespace: string;
  readonly name: string;
  /** Only those that were asked for. */
  readonly annotations: Readonly<Record<string, string>>;
  /** It is being deleted, and something holds it up (a finalizer, an owner that goes first). */
  readonly isEnding?: true;
}

/**
 * Media types by which the API server sends an object's metadata and nothing else (for a Secret: not the secret).
 * A server that does not know them sends whole objects, of which no more is read.
 */
const partialObject = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json';
export const metadataAccept = {
  object: partialObject,
  list: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json',
  watch: partialObject,
};

export interface MetadataCollectionOptions {
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Keys of the annotations to keep. */
  readonly annotations: readonly string[];
}

/** A collection of which metadata alone is fetched and kept. */
export function metadataCollection(options: MetadataCollectionOptions): Collection<KeptMetadata> {
  const { annotations, ...where } = options;
  return { ...where, accept: metadataAccept, read: createReadKeptMetadata(annotations) };
}

const none = Object.freeze({});

/** An object, whole or partial → what is kept; undefined if it has no metadata. */
export function createReadKeptMetadata(
  annotationKeys: readonly string[],
): (object: unknown) => KeptMetadata | undefined {
  /** One string for all objects of a namespace. */
  let lastNamespace = '';
  return (object) => {
    const metadata = isRecord(object) ? object['metadata'] : undefined;
    if (!isRecord(metadata)) return undefined;
    const { namespace = '', name, uid, annotations, deletionTimestamp } = metadata;
    if (typeof namespace !== 'string' || typeof name !== 'string' || typeof uid !== 'string')
      return undefined;
    if (namespace !== lastNamespace) lastNamespace = namespace;
    const kept = { namespace: lastNamespace, name, uid, annotations: pick(annotations, annotationKeys) };
    return typeof deletionTimestamp === 'string' ? { ...kept, isEnding: true } : kept;
  };
}

function pick(annotations: unknown, keys: readonly string[]): Readonly<Record<string, string>> {
  if (!isTextMap(annotations)) return none;
  const found = keys.flatMap((key) => {
    const value = annotations[key];
    return value === undefined ? [] : [[key, value] as const];
  });
  return found.length === 0 ? none : Object.fromEntries(found);
}
