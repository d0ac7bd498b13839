import { onTestFinished } from 'vitest';
import type { KubernetesApi, KubernetesApiOptions } from '../../src/sandbox/kubernetes-api/server.ts';
import { createTestKubernetesApi } from '../support/test-kubernetes-api.ts';
import { type ApiAnswer, type ApiCaller, type CallOptions, createApiCaller } from './api-caller.ts';

export interface EmbeddedApi {
  readonly api: KubernetesApi;
  readonly port: number;
  readonly caller: ApiCaller;
  readonly admin: (method: string, path: string, options?: CallOptions) => Promise<ApiAnswer>;
  readonly adminToken: string;
  /** Status of a TokenReview for the audience `ours`. */
  readonly review: (token: string) => Promise<unknown>;
}

const adminToken = 'token-of-admin';

/** A started server of the test's own, stopped when the test is over. */
export async function startEmbeddedApi(options: KubernetesApiOptions = {}): Promise<EmbeddedApi> {
  const admin = { token: adminToken, username: 'admin', groups: ['system:masters'] };
  const api = createTestKubernetesApi({ ...options, users: [admin, ...(options.users ?? [])] });
  const { url, port } = await api.start();
  onTestFinished(api.stop);
  const caller = createApiCaller({ url });
  const asAdmin: EmbeddedApi['admin'] = (method, path, call = {}) =>
    caller.call(method, path, { token: adminToken, ...call });
  return {
    api,
    port,
    caller,
    admin: asAdmin,
    adminToken,
    review: async (token) => {
      const body = { spec: { token, audiences: ['ours'] } };
      const answer = await asAdmin('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { body });
      return (answer.body as { readonly status: unknown }).status;
    },
  };
}

export const alice = {
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { name: 'alice', namespace: 'default' },
} as const;
