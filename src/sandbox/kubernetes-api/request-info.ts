import { isResourceAccess, type NonResourceAccess, type ResourceAccess } from './rbac.ts';
import { selectedName } from './selectors.ts';
import { badRequest, methodNotAllowed } from './status.ts';

export type ResourceVerb =
  | 'get'
  | 'list'
  | 'watch'
  | 'create'
  | 'update'
  | 'patch'
  | 'delete'
  | 'deletecollection';

export interface ResourceRequest extends ResourceAccess {
  readonly verb: ResourceVerb;
  readonly version: string;
}

/** What a request is about, read from method and URL alone; it is also what RBAC decides on. */
export type RequestInfo = ResourceRequest | NonResourceAccess;

/** Subresources of a namespace; any other segment at their place is a resource in that namespace. */
const namespaceSubresources = new Set(['status', 'finalize']);

/**
 * `/api/v1/…` and `/apis/{group}/{version}/…`, then `[namespaces/{namespace}/]{resource}[/{name}[/{subresource}]]`;
 * any other path is about no resource. Throws a StatusError: 400 for a path that can't be decoded, 405 for a
 * method that no resource has.
 */
export function readRequestInfo(method: string, url: URL): RequestInfo {
  const [root, ...segments] = url.pathname.split('/').filter(Boolean).map(decoded);
  const group = root === 'apis' ? segments.shift() : '';
  const [version, ...rest] = segments;
  if (
    (root !== 'api' && root !== 'apis') ||
    group === undefined ||
    version === undefined ||
    rest.length === 0
  )
    return { verb: method.toLowerCase(), path: url.pathname };

  const place = placeOf(rest);
  const verb = verbOf(method, place.name !== '', url.searchParams);
  const name = place.name === '' && isAboutMany(verb) ? selectedName(url.searchParams) : place.name;
  return { verb, group, version, ...place, name };
}

/** How counters and faults call what a request is about: `serviceaccounts/token`, `secrets`, or the path. */
export function requestTarget(info: RequestInfo): string {
  if (!isResourceAccess(info)) return info.path;
  return info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`;
}

type Place = Pick<ResourceAccess, 'namespace' | 'resource' | 'name' | 'subresource'>;

function placeOf(segments: readonly string[]): Place {
  const [first = '', second = '', third = ''] = segments;
  const isInNamespace = first === 'namespaces' && third !== '' && !namespaceSubresources.has(third);
  const [resource = '', name = '', subresource = ''] = isInNamespace ? segments.slice(2) : segments;
  // A namespace lies in itself: a Role in it may allow to read it.
  return { namespace: first === 'namespaces' ? second : '', resource, name, subresource };
}

function verbOf(method: string, isNamed: boolean, query: URLSearchParams): ResourceVerb {
  switch (method) {
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return isNamed ? 'delete' : 'deletecollection';
    case 'GET':
      if (isNamed) return 'get';
      return ['true', '1'].includes(query.get('watch') ?? '') ? 'watch' : 'list';
    default:
      throw methodNotAllowed();
  }
}

function isAboutMany(verb: ResourceVerb): boolean {
  return verb === 'list' || verb === 'watch' || verb === 'deletecollection';
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw badRequest('the path is not correctly percent-encoded');
  }
}
