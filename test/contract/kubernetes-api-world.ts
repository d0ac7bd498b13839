import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { type ApiAnswer, type ApiCaller, type CallOptions, createApiCaller } from '../sandbox/api-caller.ts';

/** Users that a server under test must know by these tokens. */
export const contractUsers = {
  alice: { token: 'contract-token-of-alice', username: 'alice', groups: ['tier-premium-users'] },
  bob: { token: 'contract-token-of-bob', username: 'bob', groups: [] },
} as const;

/** Among the server's own audiences. */
export const clusterAudience = 'https://kubernetes.default.svc';
/** Not among them. */
export const accessAudience = 'maas-default-gateway-sa';

export interface SignedClaims {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** From now; negative for a token that is over. */
  readonly endsInSeconds: number;
}

/** A server with contractUsers, the custom resource LLMInferenceService, and controllers at work. */
export interface KubernetesApiUnderTest {
  readonly url: string;
  readonly caPem?: string;
  /** Of a member of `system:masters`. */
  readonly adminToken: string;
  /** Signs a token for accessAudience with the server's own key. */
  readonly sign: (claims: SignedClaims) => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** What the parts of the contract work with. */
export interface World {
  readonly api: KubernetesApiUnderTest;
  /** As anybody: the token is the call's own. */
  readonly anyone: ApiCaller;
  readonly admin: (method: string, path: string, options?: CallOptions) => Promise<ApiAnswer>;
  /** Creates something that must be created, and returns what was answered. */
  readonly make: (path: string, body: object) => Promise<unknown>;
  /** Creates a namespace and returns its path. */
  readonly makeNamespace: () => Promise<{ readonly name: string; readonly path: string }>;
}

export const rbac = '/apis/rbac.authorization.k8s.io/v1';
export const mergePatch = 'application/merge-patch+json';
export const applyPatch = 'application/apply-patch+yaml';
export const partialObject = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
export const partialList = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

export function createWorld(api: KubernetesApiUnderTest): World {
  const anyone = createApiCaller(api);
  const admin: World['admin'] = (method, path, options = {}) =>
    anyone.call(method, path, { token: api.adminToken, ...options });
  const make: World['make'] = async (path, body) => {
    const answer = await admin('POST', path, { body });
    expect(answer, `creating at ${path}`).toMatchObject({ status: 201 });
    return answer.body;
  };
  return {
    api,
    anyone,
    admin,
    make,
    makeNamespace: async () => {
      const name = uniqueName('contract');
      await make('/api/v1/namespaces', { metadata: { name } });
      return { name, path: `/api/v1/namespaces/${name}` };
    },
  };
}

export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(4).toString('hex')}`;
}

/** A refusal as the API machinery words it; messages are compared where a client shows them to people. */
export function refusal(status: number, reason: string, more: object = {}): object {
  return {
    status,
    body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code: status, ...more },
  };
}

/** Controllers and RBAC caches of a real server take their time; those of the stand-in none. */
export const eventually = { timeout: 20_000, interval: 20 };
