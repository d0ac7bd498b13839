import type { StoredObject } from './objects.ts';
import { badRequest } from './status.ts';

/** Says whether an object is among those that a list, a watch or a deletion of a collection is about. */
export type Selector = (object: StoredObject) => boolean;

/**
 * The `labelSelector` and `fieldSelector` of a request; throws a StatusError (400) for what can't be read.
 * Of the label selectors, set-based ones (`in`, `notin`) are refused here and known to the real server; of
 * the fields, `metadata.name` and `metadata.namespace` are known.
 */
export function readSelector(query: URLSearchParams): Selector {
  const selectors = [
    ...requirements(query.get('labelSelector')).map(labelSelector),
    ...requirements(query.get('fieldSelector')).map(fieldSelector),
  ];
  return (object) => selectors.every((selects) => selects(object));
}

/**
 * The one name that a field selector asks for, if it does: RBAC then looks at it as at the name of a
 * request, so that a rule with resourceNames allows to list and watch a single object.
 */
export function selectedName(query: URLSearchParams): string {
  for (const text of requirements(query.get('fieldSelector'))) {
    const [, field, operator, value] = comparison.exec(text) ?? [];
    if (field === 'metadata.name' && operator !== '!=' && value !== undefined) return value;
  }
  return '';
}

const comparison = /^([^=!]+)(==|=|!=)([^=!]*)$/;
const labelComparison = /^\s*([A-Za-z0-9._/-]+)\s*(==|=|!=)\s*([A-Za-z0-9._-]*)\s*$/;
const labelExistence = /^\s*(!?)\s*([A-Za-z0-9._/-]+)\s*$/;

function requirements(text: string | null): readonly string[] {
  return text === null || text === '' ? [] : text.split(',');
}

function labelSelector(text: string): Selector {
  const [, key, operator, value] = labelComparison.exec(text) ?? [];
  if (key !== undefined) {
    const wanted = operator !== '!=';
    return (object) => (object.metadata.labels?.[key] === value) === wanted;
  }
  const [, not, name] = labelExistence.exec(text) ?? [];
  if (name === undefined) throw badRequest(`unable to parse requirement: ${text}`);
  return (object) => (object.metadata.labels?.[name] !== undefined) === (not === '');
}

function fieldSelector(text: string): Selector {
  const [, field, operator, value] = comparison.exec(text) ?? [];
  if (field !== 'metadata.name' && field !== 'metadata.namespace')
    throw badRequest(`"${field ?? text}" is not a known field selector`);
  const wanted = operator !== '!=';
  const read: (object: StoredObject) => string =
    field === 'metadata.name'
      ? (object) => object.metadata.name
      : (object) => object.metadata.namespace ?? '';
  return (object) => (read(object) === value) === wanted;
}
