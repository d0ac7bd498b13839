import type { Answer, BodyAnswer } from './answer.ts';
import type { ApiRequest } from './api-request.ts';
import type { Authenticate, UserInfo } from './authentication.ts';
import type { Discovery } from './discovery.ts';
import type { ObjectRoutes } from './object-routes.ts';
import { type Access, type Decision, isResourceAccess, type Requester } from './rbac.ts';
import type { ResourceRequest } from './request-info.ts';
import type { Resources } from './resources.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import { methodNotAllowed, unknownResource } from './status.ts';
import { reviewSubjectAccess } from './subject-access-review.ts';
import type { RequestToken } from './token-request.ts';
import { reviewToken } from './token-review.ts';

export interface RoutesOptions {
  readonly resources: Resources;
  readonly answerObjects: ObjectRoutes;
  readonly tokens: ServiceAccountTokens;
  readonly authenticate: Authenticate;
  readonly authorize: (requester: Requester, access: Access) => Decision;
  readonly requestToken: RequestToken;
  readonly discovery: Discovery;
  readonly apiAudiences: readonly string[];
  readonly issuer: string;
  /** Where clients reach this server, without a slash at the end. */
  readonly url: () => string;
}

/** Does what a request asks for, whose caller is known and may do it; throws a StatusError for what it refuses. */
export type Routes = (request: ApiRequest, user: UserInfo) => Promise<Answer>;

export function createRoutes(options: RoutesOptions): Routes {
  const { resources, discovery, apiAudiences } = options;

  return async (request, user) => {
    const { info } = request;
    if (!isResourceAccess(info)) return answerPath(info.verb, info.path);
    const review = await answerReview(info, request.body);
    if (review !== undefined) return review;
    const resource = resources.named(info.group, info.version, info.resource);
    if (resource !== undefined) return options.answerObjects({ resource, info, user }, request);
    if (resources.isBuiltIn(info.group, info.version)) throw unknownResource();
    return pageNotFound;
  };

  async function answerPath(verb: string, path: string): Promise<Answer> {
    if (verb !== 'get') throw methodNotAllowed();
    switch (path) {
      case '/healthz':
      case '/livez':
      case '/readyz':
        return { status: 200, body: 'ok' };
      case '/version':
        return found(discovery.version());
      case '/openid/v1/jwks':
        return { status: 200, body: await options.tokens.jwks(), contentType: 'application/jwk-set+json' };
      case '/.well-known/openid-configuration':
        return found(openIdConfiguration(options.issuer, options.url()));
      default:
        return found(discoveryAt(discovery, path));
    }
  }

  /** What is answered and not stored; undefined for any other resource. */
  async function answerReview(
    info: ResourceRequest,
    body: ApiRequest['body'],
  ): Promise<BodyAnswer | undefined> {
    const { namespace, name } = info;
    switch (`${info.group}/${info.version}/${info.resource}/${info.subresource}`) {
      case 'authentication.k8s.io/v1/tokenreviews/':
        requireReview(info);
        return created(await reviewToken(await body(), options.authenticate, apiAudiences));
      case 'authorization.k8s.io/v1/subjectaccessreviews/':
        requireReview(info);
        return created(reviewSubjectAccess(await body(), options.authorize));
      case '/v1/serviceaccounts/token':
        if (info.verb !== 'create') throw methodNotAllowed();
        return created(await options.requestToken({ namespace, name }, await body()));
      default:
        return undefined;
    }
  }
}

function requireReview({ verb, name, namespace }: ResourceRequest): void {
  if (namespace !== '') throw unknownResource();
  if (verb !== 'create' || name !== '') throw methodNotAllowed();
}

/** OpenID Connect Discovery 1.0 section 3, as far as "Service Account Issuer Discovery" fills it in. */
function openIdConfiguration(issuer: string, url: string): unknown {
  return {
    issuer,
    jwks_uri: `${url}/openid/v1/jwks`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
  };
}

function discoveryAt(discovery: Discovery, path: string): unknown {
  const [root, first, second, ...more] = path.split('/').filter(Boolean);
  if (more.length > 0) return undefined;
  if (root === 'api') {
    if (first === undefined) return discovery.coreVersions();
    return second === undefined ? discovery.resources('', first) : undefined;
  }
  if (root !== 'apis') return undefined;
  if (first === undefined) return discovery.groups();
  return second === undefined ? discovery.group(first) : discovery.resources(first, second);
}

const pageNotFound: BodyAnswer = { status: 404, body: '404 page not found\n' };

function found(body: unknown): BodyAnswer {
  return body === undefined ? pageNotFound : { status: 200, body };
}

function created(body: unknown): BodyAnswer {
  return { status: 201, body };
}
