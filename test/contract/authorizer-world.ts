import { expect } from 'vitest';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { createSecret } from '../../src/secret.ts';
import { createApiCaller, textAt } from '../sandbox/api-caller.ts';
import { rbac, uniqueName } from './kubernetes-api-world.ts';

/** Ours, and not among the API server's own. */
export const audience = 'maas-default-gateway-sa';
export const clusterAudience = 'https://kubernetes.default.svc';

/** An opaque token as OpenShift's: good for the API server's own audiences. */
export const opaqueUser = { token: 'opaque-token-of-alice', name: 'alice', groups: ['tier-premium-users'] };

export interface ClusterUnderTest {
  readonly url: string;
  readonly caPem?: string;
  /** Of a member of `system:masters`. */
  readonly adminToken: string;
  /** How long the API server goes on calling a token authenticated that it has reviewed. */
  readonly reviewSuccessCacheMs: number;
  /** Reviews that have reached it. */
  readonly countReviews: (resource: 'tokenreviews' | 'subjectaccessreviews') => number;
  /** Nobody answers, and what there is stays. */
  readonly goAway: () => Promise<void>;
  readonly comeBack: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export interface StartOptions {
  /** Default: the cluster's own. */
  readonly apiAudiences?: readonly string[];
}

export type StartCluster = (options?: StartOptions) => Promise<ClusterUnderTest>;

export interface AccountOptions {
  readonly name?: string;
  /** Annotation `tiergate.dev/user`. */
  readonly user?: string;
}

export interface Account {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface TokenOptions {
  readonly audiences?: readonly string[];
  /** Name of a Secret that the token ends with. */
  readonly secret?: string;
}

/** A cluster as the authorizer finds it, with a client that has the authorizer's rights and no more. */
export interface AuthorizerWorld {
  readonly cluster: ClusterUnderTest;
  /** Acts as the ServiceAccount `tiergate/authorizer`. */
  readonly client: KubernetesClient;
  readonly admin: (method: string, path: string, body?: object) => Promise<unknown>;
  /** A tier's namespace, in which the authorizer may read ServiceAccounts. */
  readonly makeTierNamespace: (name?: string) => Promise<string>;
  readonly makeAccount: (namespace: string, options?: AccountOptions) => Promise<Account>;
  readonly deleteAccount: (account: Account) => Promise<void>;
  readonly mint: (account: Account, options?: TokenOptions) => Promise<string>;
  readonly stop: () => Promise<void>;
}

export async function createAuthorizerWorld(cluster: ClusterUnderTest): Promise<AuthorizerWorld> {
  const caller = createApiCaller(cluster);
  const admin: AuthorizerWorld['admin'] = async (method, path, body) => {
    const answer = await caller.call(method, path, {
      token: cluster.adminToken,
      ...(body !== undefined && { body }),
    });
    expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBeLessThan(300);
    return answer.body;
  };
  const self = { kind: 'ServiceAccount', namespace: 'tiergate', name: 'authorizer' };

  const makeTierNamespace = async (name = uniqueName('maas-default-gateway-tier')): Promise<string> => {
    await admin('POST', '/api/v1/namespaces', { metadata: { name } });
    await admin('POST', `${rbac}/namespaces/${name}/roles`, {
      metadata: { name: 'tiergate-authorizer' },
      rules: [{ apiGroups: [''], resources: ['serviceaccounts'], verbs: ['get', 'list', 'watch'] }],
    });
    await admin('POST', `${rbac}/namespaces/${name}/rolebindings`, {
      metadata: { name: 'tiergate-authorizer' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'tiergate-authorizer' },
      subjects: [self],
    });
    return name;
  };

  const makeAccount: AuthorizerWorld['makeAccount'] = async (namespace, options = {}) => {
    const { name = uniqueName('account'), user } = options;
    const annotations = user === undefined ? {} : { 'tiergate.dev/user': user };
    const made = await admin('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, {
      metadata: { name, annotations },
    });
    return { namespace, name, uid: textAt(made, 'metadata', 'uid') };
  };

  const mint: AuthorizerWorld['mint'] = async ({ namespace, name }, options = {}) => {
    const { audiences = [audience], secret } = options;
    const spec = {
      ...(audiences.length > 0 && { audiences }),
      expirationSeconds: 3600,
      ...(secret !== undefined && { boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: secret } }),
    };
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    return textAt(await admin('POST', path, { spec }), 'status', 'token');
  };

  await admin('POST', '/api/v1/namespaces', { metadata: { name: self.namespace } });
  const own = await makeAccount(self.namespace, { name: self.name });
  await admin('POST', `${rbac}/clusterrolebindings`, {
    metadata: { name: 'tiergate-authorizer' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:auth-delegator' },
    subjects: [self],
  });
  const { url, caPem } = cluster;
  const client = createKubernetesClient({
    connection: createFixedConnection({
      server: url,
      token: createSecret(await mint(own, { audiences: [] })),
      ...(caPem !== undefined && { caPem }),
    }),
    timeoutMs: 5_000,
  });

  return {
    cluster,
    client,
    admin,
    makeTierNamespace,
    makeAccount,
    deleteAccount: async ({ namespace, name }) => {
      await admin('DELETE', `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`);
    },
    mint,
    stop: async () => {
      client.close();
      await cluster.stop();
    },
  };
}
