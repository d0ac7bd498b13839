/**
 * Kubernetes objects as this server keeps them: plain JSON values that nobody changes in place. What a
 * client sends is a Manifest; what the server answers is a StoredObject, with the metadata that it owns.
 */

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

export interface ObjectMeta {
  readonly name?: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  /** Counts changes of anything but metadata and status; custom resources only. */
  readonly generation?: number;
  /** RFC 3339, whole seconds, as is `deletionTimestamp`. */
  readonly creationTimestamp?: string;
  /** Set while finalizers keep a deleted object. */
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
}

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/** A manifest that says which object it is. */
export type NamedManifest = Manifest & ObjectReference;

/** Names an object: any object does. */
export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  /** `default` is the namespace of a namespaced object that names none. */
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

export interface StoredMeta extends ObjectMeta {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly creationTimestamp: string;
}

export interface StoredObject extends Manifest {
  readonly metadata: StoredMeta;
}

/** Where an object lies within its resource; the namespace is '' for what belongs to the whole cluster. */
export interface ObjectKey {
  readonly namespace: string;
  readonly name: string;
}

export function keyOf(object: StoredObject): ObjectKey {
  return { namespace: object.metadata.namespace ?? '', name: object.metadata.name };
}

export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object under a key of another, or an empty one where there is none. */
export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : {};
}

export function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

export function isTextMap(value: unknown): value is Readonly<Record<string, string>> {
  return isFields(value) && Object.values(value).every((entry) => typeof entry === 'string');
}

/** RFC 3339 with whole seconds, as metav1.Time prints itself. */
export function timestamp(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19)}Z`;
}
