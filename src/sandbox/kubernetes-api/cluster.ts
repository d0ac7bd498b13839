import { createAdmission } from './admission.ts';
import type { Answer } from './answer.ts';
import type { ApiRequest } from './api-request.ts';
import { createAuthenticator, type StaticUser } from './authentication.ts';
import { bootstrapObjects } from './bootstrap-objects.ts';
import { identifyCaller, requireAccess } from './caller.ts';
import { createDiscovery } from './discovery.ts';
import { startGarbageCollector } from './garbage-collector.ts';
import { startNamespaceLifecycle } from './namespace-lifecycle.ts';
import { createObjectRoutes } from './object-routes.ts';
import { createObjectStore, type ObjectStore } from './object-store.ts';
import type { NamedManifest, ObjectKey, ObjectReference, StoredObject } from './objects.ts';
import { createObjectWrites } from './object-writes.ts';
import { type Access, decide, type Requester } from './rbac.ts';
import { rbacPolicyOf } from './rbac-objects.ts';
import { createResources, customResourceDefinitions, type Resource } from './resources.ts';
import { createRoutes } from './routes.ts';
import {
  createServiceAccountTokens,
  type NewKeyPair,
  type ServiceAccountTokens,
} from './service-account-tokens.ts';
import { badRequest } from './status.ts';
import { createTokenRequest } from './token-request.ts';

export interface ClusterOptions {
  readonly users: readonly StaticUser[];
  readonly apiAudiences: readonly string[];
  readonly issuer: string;
  readonly maxTokenExpirationSeconds: number | undefined;
  readonly reviewSuccessCacheMs: number;
  readonly watchHistoryLimit: number;
  /** Where clients reach the API, without a slash at the end. */
  readonly url: () => string;
  readonly now: () => number;
  readonly newKeyPair: NewKeyPair;
}

/** Everything but the network: the objects, who may do what with them, and the answer to each request. */
export interface Cluster {
  readonly store: ObjectStore;
  readonly tokens: ServiceAccountTokens;
  /** Who is it, may they, do it; throws a StatusError for what is refused. */
  readonly answer: (request: ApiRequest) => Promise<Answer>;
  /** The next three ask for no access and throw a StatusError as a request would. */
  readonly apply: (object: NamedManifest) => StoredObject;
  readonly find: (reference: ObjectReference) => StoredObject | undefined;
  readonly remove: (reference: ObjectReference) => void;
}

export function createCluster(options: ClusterOptions): Cluster {
  const { apiAudiences, issuer, maxTokenExpirationSeconds, now } = options;
  const store = createObjectStore({ historyLimit: options.watchHistoryLimit });
  const resources = createResources(() => store.list(customResourceDefinitions));

  const policy = rbacPolicyOf(store);
  const authorize = (requester: Requester, access: Access) => decide(policy, requester, access);
  const writes = createObjectWrites({ store, admit: createAdmission(store, policy), now });
  startGarbageCollector(store, writes);
  startNamespaceLifecycle(store, writes);

  const tokens = createServiceAccountTokens({ issuer, store, now, newKeyPair: options.newKeyPair });
  const requestToken = createTokenRequest({ store, tokens, apiAudiences, maxTokenExpirationSeconds, now });
  const authenticate = createAuthenticator({
    users: options.users,
    verifyServiceAccountToken: tokens.verify,
    apiAudiences,
    successCacheMs: options.reviewSuccessCacheMs,
    now,
  });
  const route = createRoutes({
    resources,
    answerObjects: createObjectRoutes(store, writes),
    tokens,
    authenticate,
    authorize,
    requestToken,
    discovery: createDiscovery(resources),
    apiAudiences,
    issuer,
    url: options.url,
  });

  function located({ apiVersion, kind, metadata }: ObjectReference): { resource: Resource; key: ObjectKey } {
    const resource = resources.ofKind(apiVersion, kind);
    if (resource === undefined) throw badRequest(`no kind "${kind}" is known in ${apiVersion}`);
    const namespace = resource.namespaced ? (metadata.namespace ?? 'default') : '';
    return { resource, key: { namespace, name: metadata.name } };
  }

  function apply(object: NamedManifest): StoredObject {
    const target = { ...located(object), requester: undefined };
    // A copy: what the caller does with theirs must not change ours.
    return writes.patch(target, { kind: 'apply', content: structuredClone(object) }).object;
  }

  for (const object of bootstrapObjects) apply(object);

  return {
    store,
    tokens,
    answer: async (request) => {
      const user = await identifyCaller(request.headers, authenticate, apiAudiences);
      requireAccess(user, request.info, authorize);
      return route(request, user);
    },
    apply,
    find: (reference) => {
      const { resource, key } = located(reference);
      return store.find(resource, key);
    },
    remove: (reference) => void writes.remove(located(reference)),
  };
}
