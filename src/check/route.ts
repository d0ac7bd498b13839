import type { CheckInput } from './check-input.ts';
import { maxPathLength, maxPaths, pathname } from './model.ts';
import { ownText } from '../own-text.ts';
import { type Denied, denied } from './outcome.ts';
import { createRecent } from './recent.ts';

/** How far a request is looked at: not at all, up to its tier, or through every stage. */
export type Route = 'public' | 'identity' | 'model';

export interface RouteOptions {
  /** Paths that pass without a token: exactly, or followed by `/`. */
  readonly public: readonly string[];
  /** Paths for which a token and a tier suffice: exactly, or followed by `/`. */
  readonly identityOnly: readonly string[];
  /** Whether a CORS preflight passes without a token. */
  readonly cors: boolean;
}

/**
 * Whatever could be read in two ways by two servers: a segment `.` or `..` or an empty one, everything that RFC 3986
 * section 3.3 does not allow in a path (backslash, controls, spaces, bytes outside ASCII), a path parameter, and the
 * encoded forms of dot, slash, backslash, NUL and percent. Envoy passes them on unless told to normalise, so that what
 * was checked need not be what is served.
 */
const ambiguous =
  /\/\.{0,2}(?=\/)|\/\.{1,2}$|[^!$&'()*+,\-./0-9:=@A-Z_a-z~%]|%(?:2e|2f|5c|00|25)|%(?![0-9a-f]{2})/i;

/** Request → how far to look at it. The check of the path comes before anything believes it. */
export function createReadRoute(options: RouteOptions): (input: CheckInput) => Route | Denied {
  const routes = createRecent<Route | 'ambiguous'>(maxPaths);

  function byPath(path: string): Route | 'ambiguous' {
    if (!path.startsWith('/') || ambiguous.test(path)) return 'ambiguous';
    if (options.public.some((prefix) => covers(prefix, path))) return 'public';
    if (options.identityOnly.some((prefix) => covers(prefix, path))) return 'identity';
    return 'model';
  }

  return (input) => {
    const path = pathname(input.path);
    let route = routes.get(path);
    if (route === undefined) {
      route = byPath(path);
      if (path.length <= maxPathLength) routes.set(ownText(path), route);
    }
    if (route === 'ambiguous') return denied('path_invalid', 'The path can be read in more than one way.');
    const configured = input.contextExtensions.get('tiergate.class');
    if (configured === 'public' || (options.cors && isPreflight(input))) return 'public';
    if (configured === 'identityOnly') return 'identity';
    return route;
  };
}

/** By whole segments: `/v1/models` covers `/v1/models/x`, not `/v1/models-x`. */
function covers(prefix: string, path: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path.charAt(prefix.length) === '/');
}

/** Fetch standard, CORS-preflight request. */
function isPreflight({ method, headers }: CheckInput): boolean {
  return method === 'OPTIONS' && headers.has('origin') && headers.has('access-control-request-method');
}
