import { type Fields, isFields, isTextList } from './objects.ts';
import { badRequest } from './status.ts';

export interface ReviewKind {
  readonly group: string;
  readonly kind: string;
}

/** The body of a review as fields; throws a StatusError (400) for what is no such review. */
export function readReview({ group, kind }: ReviewKind, body: unknown): Fields {
  const apiVersion = `${group}/v1`;
  if (!isFields(body)) throw badRequest(`the object provided is unrecognized (must be of type ${kind})`);
  if ((body['kind'] ?? kind) !== kind || (body['apiVersion'] ?? apiVersion) !== apiVersion)
    throw badRequest(`${String(body['kind'])} cannot be handled as a ${kind}`);
  return body;
}

/** '' when absent; throws a StatusError (400) when it is no string. */
export function readText(fields: Fields, field: string): string {
  const value = fields[field] ?? '';
  if (typeof value !== 'string') throw badRequest(`${field} must be a string`);
  return value;
}

/** Empty when absent; throws a StatusError (400) when it is no list of strings. */
export function readTexts(fields: Fields, field: string): readonly string[] {
  const value = fields[field] ?? [];
  if (!isTextList(value)) throw badRequest(`${field} must be a list of strings`);
  return value;
}
