import { createSecret, type Secret } from '../secret.ts';

/** One JSON document as a store holds it. Its text may hold client secrets and tokens, so it is a Secret. */
export interface StoredDocument {
  /** JSON text of one object. */
  readonly content: Secret;
  /** Opaque: what {@link DocumentStore.write} wants back to prove that nobody wrote in between. */
  readonly version: string;
}

/**
 * One folder of a secret store. Every function throws DependencyError when the store can't tell or refuses us,
 * and none of them retries.
 */
export interface DocumentStore {
  /** The keys that hold a live document: deleted ones are not among them. Order means nothing. */
  readonly list: (signal: AbortSignal) => Promise<readonly string[]>;
  /** Undefined: there is no such document. */
  readonly read: (key: string, signal: AbortSignal) => Promise<StoredDocument | undefined>;
  /**
   * Writes the whole document if its version is still `expected` (undefined: only if there is none yet) and
   * returns the new version; undefined: refused, somebody else wrote first, nothing was changed.
   * A write that throws may have happened.
   */
  readonly write: (
    key: string,
    content: Secret,
    expected: string | undefined,
    signal: AbortSignal,
  ) => Promise<string | undefined>;
  /** Removes the document and its history; fine if it is gone already. */
  readonly remove: (key: string, signal: AbortSignal) => Promise<void>;
}

export type DocumentFields = Readonly<Record<string, unknown>>;

/** The object that a document's text holds, or undefined if it holds something else. */
export function parseDocument(content: Secret): DocumentFields | undefined {
  try {
    return fieldsOf(JSON.parse(content.reveal()));
  } catch {
    return undefined;
  }
}

export function formatDocument(fields: DocumentFields): Secret {
  return createSecret(JSON.stringify(fields));
}

/** Whether two documents hold the same value, whatever the order of their keys. */
export function isSameDocument(left: Secret, right: Secret): boolean {
  return canonicalText(JSON.parse(left.reveal())) === canonicalText(JSON.parse(right.reveal()));
}

export function fieldsOf(value: unknown): DocumentFields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as DocumentFields)
    : undefined;
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function textsOf(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string')) return undefined;
  return value;
}

/** The same text for the same JSON value, whatever the order of its keys. */
export function canonicalText(value: unknown): string {
  return JSON.stringify(value, (_key, nested: unknown) => {
    const fields = fieldsOf(nested);
    return fields === undefined ? nested : Object.fromEntries(Object.entries(fields).sort(byKey));
  });
}

function byKey([left]: [string, unknown], [right]: [string, unknown]): number {
  return left < right ? -1 : 1;
}
