import type { IncomingMessage, ServerResponse } from 'node:http';
import { createLoopbackServer } from '../loopback-server.ts';
import { answerForError, writeAnswer } from './answer.ts';
import type { StaticUser } from './authentication.ts';
import { createCluster } from './cluster.ts';
import { answerWithFault, createFaults, type Fault } from './faults.ts';
import type { NamedManifest, ObjectReference, StoredObject } from './objects.ts';
import { readJson } from './request-body.ts';
import { createRequestCounter } from './request-counter.ts';
import { readRequestInfo, type ResourceVerb } from './request-info.ts';
import { createKeyPair, type NewKeyPair, type TokenOrder } from './service-account-tokens.ts';

export interface KubernetesApiOptions {
  /** 0, the default, takes a free one; kept when the server is started again. */
  readonly port?: number;
  /** Who may call by a token of their own. Without any, only ServiceAccounts can. */
  readonly users?: readonly StaticUser[];
  /** What a token must be good for to call this server. Default: `https://kubernetes.default.svc`. */
  readonly apiAudiences?: readonly string[];
  /** `iss` of the tokens. Default: `https://kubernetes.default.svc`. */
  readonly issuer?: string;
  /**
   * `--service-account-max-token-expiration`: who asks for longer gets this, and no error. By default tokens
   * live as long as asked.
   */
  readonly maxTokenExpirationSeconds?: number;
  /**
   * How long a successful review is repeated without looking again, in milliseconds. The real server does so
   * for 10 000; by default it is 0 here, so that a deletion counts at once.
   */
  readonly reviewSuccessCacheMs?: number;
  /** Changes of each resource that a watch can begin with. Default 1000. */
  readonly watchHistoryLimit?: number;
  /** Default Date.now. */
  readonly now?: () => number;
  /** Called when a key is first needed, and after each rotation. Default: a fresh pair of 2048 bits. */
  readonly newKeyPair?: NewKeyPair;
}

/**
 * An API server within one process: a small, truthful part of kube-apiserver, over plain HTTP on 127.0.0.1
 * and all in memory. What its clients rely on of kube-controller-manager happens too, at once. One contract
 * suite is run against it and against the real ones; where it knows less it refuses (YAML and protobuf,
 * JSON patch and strategic merge patch, set-based selectors, dry runs, orphaning, impersonation). What it
 * leaves out in silence: `managedFields`, tables, `limit` of lists, subresources but `token`, admission
 * plug-ins, schemas of custom resources, expiry of Events.
 */
export interface KubernetesApi {
  /** Rejects when the port is taken. The objects are there whether it listens or not. */
  readonly start: () => Promise<{ readonly url: string; readonly port: number }>;
  /** Ends every connection. Objects, keys and port are kept for another start. */
  readonly stop: () => Promise<void>;
  /** Ends every connection and goes on listening: clients see their watches break. */
  readonly disconnect: () => void;

  /** Creates an object, or merges it into the one that exists, whoever may do so. Throws a StatusError. */
  readonly apply: (object: NamedManifest) => StoredObject;
  readonly find: (reference: ObjectReference) => StoredObject | undefined;
  /** Deletes as a client would, finalizers heeded. Throws a StatusError (404) if there is no such object. */
  readonly remove: (reference: ObjectReference) => void;

  /** Signs a token of a ServiceAccount without a TokenRequest's bounds. Throws a StatusError (404) if it is absent. */
  readonly issueToken: (order: TokenOrder) => Promise<string>;
  /** Signs with a new key from now on; the older ones stay in the JWKS and go on being accepted. */
  readonly rotateSigningKey: () => void;
  /** Leaves only the current key in the JWKS; tokens signed with the others are refused. */
  readonly dropOldSigningKeys: () => void;
  /** As etcd's compaction: a watch that begins at an earlier version is told 410 Expired. */
  readonly compactWatchHistory: () => void;

  /**
   * How many requests have arrived, failed ones too. A target is `tokenreviews`, `serviceaccounts/token`,
   * `/openid/v1/jwks`; `*` is any.
   */
  readonly requestCount: (target: string, verb?: ResourceVerb) => number;
  /** Fails as told from now on; returns the way to end that. */
  readonly fail: (fault: Fault) => () => void;
}

const defaultAudience = 'https://kubernetes.default.svc';

export function createKubernetesApi(options: KubernetesApiOptions = {}): KubernetesApi {
  const server = createLoopbackServer({
    port: options.port ?? 0,
    onRequest: (request, response) => void serve(request, response),
  });
  const cluster = createCluster({
    users: options.users ?? [],
    apiAudiences: options.apiAudiences ?? [defaultAudience],
    issuer: options.issuer ?? defaultAudience,
    maxTokenExpirationSeconds: options.maxTokenExpirationSeconds,
    reviewSuccessCacheMs: options.reviewSuccessCacheMs ?? 0,
    watchHistoryLimit: options.watchHistoryLimit ?? 1000,
    url: server.url,
    now: options.now ?? Date.now,
    newKeyPair: options.newKeyPair ?? createKeyPair,
  });
  const counter = createRequestCounter();
  const faults = createFaults();

  /** Settles always: whatever goes wrong becomes an answer. */
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? '/', server.url());
      const info = readRequestInfo(request.method ?? '', url);
      counter.count(info);
      const { headers } = request;
      const answer = () =>
        cluster
          .answer({ info, query: url.searchParams, headers, body: () => readJson(request) })
          .catch(answerForError);
      const fault = faults.take(info);
      if (fault === undefined) writeAnswer(response, await answer());
      else await answerWithFault(response, fault, answer);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else writeAnswer(response, answerForError(error));
    }
  }

  return {
    start: server.start,
    stop: server.stop,
    disconnect: server.disconnect,
    apply: cluster.apply,
    find: cluster.find,
    remove: cluster.remove,
    issueToken: cluster.tokens.issue,
    rotateSigningKey: cluster.tokens.rotateSigningKey,
    dropOldSigningKeys: cluster.tokens.dropOldSigningKeys,
    compactWatchHistory: cluster.store.compact,
    requestCount: counter.read,
    fail: faults.inject,
  };
}
