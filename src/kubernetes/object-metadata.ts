import { malformed } from './answer.ts';
import { isRecord, isTextMap } from './json-shape.ts';

/** What `metadata` of an object says (`meta/v1` ObjectMeta), as far as anybody here asks. */
export interface ObjectMetadata {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly createdAtMs: number;
  readonly isEnding: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly ownerUids: readonly string[];
}

/** Parsed JSON of an object → its metadata; throws DependencyError (`malformed`) if it has none. */
export function readMetadata(object: unknown): ObjectMetadata {
  const metadata = isRecord(object) ? object['metadata'] : undefined;
  if (!isRecord(metadata)) throw malformed('an object without metadata');
  const { name, namespace, uid, creationTimestamp, deletionTimestamp, labels, annotations } = metadata;
  if (typeof name !== 'string' || typeof uid !== 'string') throw malformed('an object without name or uid');
  const createdAtMs = typeof creationTimestamp === 'string' ? Date.parse(creationTimestamp) : Number.NaN;
  const owners = metadata['ownerReferences'];
  return {
    name,
    uid,
    namespace: typeof namespace === 'string' ? namespace : '',
    createdAtMs: Number.isNaN(createdAtMs) ? 0 : createdAtMs,
    isEnding: deletionTimestamp !== undefined && deletionTimestamp !== null,
    labels: isTextMap(labels) ? labels : {},
    annotations: isTextMap(annotations) ? annotations : {},
    ownerUids: Array.isArray(owners)
      ? owners.flatMap((owner) => (isRecord(owner) && typeof owner['uid'] === 'string' ? [owner['uid']] : []))
      : [],
  };
}
