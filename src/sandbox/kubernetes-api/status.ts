import type { Resource } from './resources.ts';

/** metav1.Status: the body of every refusal, and of deletions that return no object. */
export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: Readonly<Record<string, never>>;
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code?: number;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  /** The plural of a resource; the Kind where validation failed. */
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export interface StatusCause {
  /** `FieldValueInvalid`, `FieldValueRequired`, … */
  readonly reason: string;
  readonly message: string;
  /** Path of the field, such as `metadata.name`. */
  readonly field: string;
}

/**
 * A request that this server refuses. Thrown, since here a refusal ends the request wherever it is found;
 * the server answers with `code` and `body` and nothing else looks at it.
 */
export class StatusError extends Error {
  readonly code: number;
  readonly body: Status;

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.name = 'StatusError';
    this.code = code;
    this.body = failure(code, reason, message, details);
  }
}

/** A 500 of the real server carries no reason when storage and not the API machinery failed. */
function failure(code: number, reason: string, message: string, details?: StatusDetails): Status {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    ...(reason === '' ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    code,
  };
}

export function success(details: StatusDetails): Status {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}

/** What names a resource in messages and details: `roles.rbac.authorization.k8s.io`, `secrets`. */
export type ResourceName = Pick<Resource, 'group' | 'plural'>;

export function qualifiedName(resource: ResourceName): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

export function resourceDetails(resource: ResourceName, name: string): StatusDetails {
  return {
    ...(name === '' ? {} : { name }),
    ...(resource.group === '' ? {} : { group: resource.group }),
    kind: resource.plural,
  };
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, 'BadRequest', message);
}

export function unauthorized(): StatusError {
  return new StatusError(401, 'Unauthorized', 'Unauthorized');
}

export function forbidden(
  resource: ResourceName,
  name: string,
  message: string,
  causes: readonly StatusCause[] = [],
): StatusError {
  const what = name === '' ? qualifiedName(resource) : `${qualifiedName(resource)} "${name}"`;
  return new StatusError(403, 'Forbidden', `${what} is forbidden: ${message}`, {
    ...resourceDetails(resource, name),
    ...(causes.length === 0 ? {} : { causes }),
  });
}

export function notFound(resource: ResourceName, name: string): StatusError {
  const message = `${qualifiedName(resource)} "${name}" not found`;
  return new StatusError(404, 'NotFound', message, resourceDetails(resource, name));
}

export function unknownResource(): StatusError {
  return new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});
}

export function methodNotAllowed(): StatusError {
  const message = 'the server does not allow this method on the requested resource';
  return new StatusError(405, 'MethodNotAllowed', message, {});
}

export function notAcceptable(message: string): StatusError {
  return new StatusError(406, 'NotAcceptable', message, {});
}

export function alreadyExists(resource: ResourceName, name: string): StatusError {
  const message = `${qualifiedName(resource)} "${name}" already exists`;
  return new StatusError(409, 'AlreadyExists', message, resourceDetails(resource, name));
}

export function conflict(resource: ResourceName, name: string, message: string): StatusError {
  const text = `Operation cannot be fulfilled on ${qualifiedName(resource)} "${name}": ${message}`;
  return new StatusError(409, 'Conflict', text, resourceDetails(resource, name));
}

/** The version that a watch wants to start from is no longer in the history: list again. */
export function expired(message: string): StatusError {
  return new StatusError(410, 'Expired', message);
}

export function requestTooLarge(limitBytes: number): StatusError {
  return new StatusError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limitBytes}`);
}

export function unsupportedMediaType(message: string): StatusError {
  return new StatusError(415, 'UnsupportedMediaType', message, {});
}

/** Validation failed. `kind` is the object's Kind, and `causes` has at least one entry. */
export function invalid(
  kind: { readonly group: string; readonly kind: string },
  name: string,
  causes: readonly StatusCause[],
): StatusError {
  const what = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  const why = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const message = `${what} "${name}" is invalid: ${why.length === 1 ? why[0] : `[${why.join(', ')}]`}`;
  return new StatusError(422, 'Invalid', message, {
    ...(name === '' ? {} : { name }),
    ...(kind.group === '' ? {} : { group: kind.group }),
    kind: kind.kind,
    causes,
  });
}

export function invalidField(field: string, value: unknown, why: string): StatusCause {
  return { reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(value)}: ${why}`, field };
}

export function requiredField(field: string, why: string): StatusCause {
  return { reason: 'FieldValueRequired', message: `Required value: ${why}`, field };
}

export function forbiddenField(field: string, why: string): StatusCause {
  return { reason: 'FieldValueForbidden', message: `Forbidden: ${why}`, field };
}

export function tooLongField(field: string, limitBytes: number): StatusCause {
  const message = `Too long: may not be more than ${limitBytes} bytes`;
  return { reason: 'FieldValueTooLong', message, field };
}
