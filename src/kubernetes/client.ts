import { Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createSecret, type Secret } from '../secret.ts';
import { faultError, faultOfStatus, type KubernetesAnswer, malformed, parsed } from './answer.ts';
import type { Connection } from './connection.ts';
import { createExchange } from './exchange.ts';
import type { FollowElsewhere } from './relay-news.ts';
import { readJsonLines, readText } from './response-body.ts';
import { createWait } from './wait.ts';

export type { KubernetesAnswer } from './answer.ts';

export interface KubernetesRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** From the API server's root, with its query; whatever comes from outside encoded. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: object;
  /** Default `application/json`; a PATCH names its own. */
  readonly contentType?: string;
  /** Default `application/json`. */
  readonly accept?: string;
  /** Ends the wait of this caller; the API server may still do what was asked. */
  readonly signal?: AbortSignal;
  /** From the call to the last byte of the answer; default the client's. */
  readonly timeoutMs?: number;
  /** Default 4 MiB; a longer answer is `malformed`. */
  readonly maxAnswerBytes?: number;
  /**
   * Whether a POST does no harm when it is done twice, as reviews don't: then it is sent again when an idle
   * connection turns out to be dead. Others always are but PATCH and POST.
   */
  readonly idempotent?: boolean;
  /** Statuses that the caller reads itself, though they are faults to most (403). */
  readonly expected?: readonly number[];
}

export interface KubernetesStreamRequest {
  readonly path: string;
  readonly accept?: string;
  /** Ends the stream. */
  readonly signal: AbortSignal;
  /** Until the answer begins; default the client's. */
  readonly timeoutMs?: number;
  /** Silence after which the stream is taken for dead. */
  readonly idleTimeoutMs: number;
  readonly expected?: readonly number[];
}

/** A watch that was accepted. */
export interface KubernetesStream {
  /**
   * One parsed JSON value after the other, to be read at once; ends when the server ends it, throws
   * DependencyError when it breaks, falls silent or holds anything but JSON. Leaving the loop ends the stream.
   */
  readonly values: AsyncIterable<unknown>;
}

/**
 * The Kubernetes API. Both calls throw DependencyError (`kubernetes`) when nobody could tell: refused, reset, no
 * such host (`unreachable`), too late or given up by the caller (`timeout`), 429 (`overloaded`), 5xx (`failed`),
 * 401 and 403 (`misconfigured`), anything that is not JSON, is cut off or too long (`malformed`). Whatever else
 * the API server answers is a value.
 */
export interface KubernetesClient {
  readonly request: (request: KubernetesRequest) => Promise<KubernetesAnswer>;
  /** A watch, on a connection of its own. An answer other than 200 comes back as a value, as above. */
  readonly stream: (request: KubernetesStreamRequest) => Promise<KubernetesStream | KubernetesAnswer>;
  /** Absent: watches are our own. */
  readonly followElsewhere?: FollowElsewhere;
  /** The bearer token by which the API server knows us, if it is one. */
  readonly ownToken: () => Promise<Secret | undefined>;
  /** The namespace of our context: in a cluster, our own. */
  readonly namespace: string | undefined;
  /** Ends every connection. */
  readonly close: () => void;
}

export interface KubernetesClientOptions {
  readonly connection: Connection;
  /** For requests that don't say. */
  readonly timeoutMs: number;
  /** Connections for requests; one more request waits for its turn, within its time-out. Default 64. */
  readonly maxConnections?: number;
  readonly now?: () => number;
  readonly followElsewhere?: FollowElsewhere | undefined;
}

const defaultMaxAnswerBytes = 4 * 1024 * 1024;
/** More than any Status object has. */
const maxFaultBytes = 64 * 1024;
/** Below the 90 s after which an API server closes an idle connection, and what load balancers make of it. */
const idleConnectionMs = 60_000;
/** How soon the kernel asks whether a silent watch still has somebody at its other end. */
const keepAliveProbeMs = 15_000;

/**
 * A client of our own over node:http(s), because the official one makes a new TLS connection for every request:
 * 6.3 ms and 5 ms of CPU for a TokenReview, where a kept one takes 1.1 ms and 0.8 ms (docs/adr).
 */
export function createKubernetesClient(options: KubernetesClientOptions): KubernetesClient {
  const { connection, now = Date.now } = options;
  const Agent = connection.server.protocol === 'https:' ? HttpsAgent : HttpAgent;
  const maxConnections = options.maxConnections ?? 64;
  const requests = new Agent({
    keepAlive: true,
    maxSockets: maxConnections,
    maxFreeSockets: maxConnections,
    timeout: idleConnectionMs,
  });
  // Watches hold their connections for good, and must not take a request's place.
  const streams = new Agent({ keepAlive: false });
  const exchange = createExchange(connection);

  /** Reads an answer to its end and keeps apart what is a value and what is a fault. */
  async function readAnswer(
    response: IncomingMessage,
    maxBytes: number,
    expected: readonly number[] = [],
  ): Promise<KubernetesAnswer> {
    const status = response.statusCode ?? 0;
    const fault = expected.includes(status) ? undefined : faultOfStatus(status);
    if (fault !== undefined) {
      // The status says it all: a body that breaks off or goes on for ever changes nothing.
      const text = await readText(response, maxFaultBytes).catch(() => '');
      throw faultError(fault, { status, headers: response.headers, text }, now());
    }
    const body = parsed(await readText(response, maxBytes));
    if (body === undefined) throw malformed(`HTTP ${status} without a JSON body`);
    return { status, body };
  }

  return {
    namespace: connection.namespace,
    ...(options.followElsewhere !== undefined && { followElsewhere: options.followElsewhere }),
    request: async (request) => {
      const { method, signal, timeoutMs = options.timeoutMs } = request;
      const isRepeatable = request.idempotent ?? (method !== 'POST' && method !== 'PATCH');
      const wait = createWait(timeoutMs, signal);
      try {
        const response = await exchange({ ...request, agent: requests, isRepeatable }, wait.signal);
        return await readAnswer(response, request.maxAnswerBytes ?? defaultMaxAnswerBytes, request.expected);
      } catch (error) {
        throw wait.signal.aborted ? wait.fault() : error;
      } finally {
        wait.end();
      }
    },
    stream: async (request) => {
      const { signal, timeoutMs = options.timeoutMs, idleTimeoutMs } = request;
      const wait = createWait(timeoutMs, signal);
      try {
        const sendable = { ...request, method: 'GET', agent: streams, isRepeatable: true };
        const response = await exchange(sendable, wait.signal);
        if (response.statusCode !== 200) {
          return await readAnswer(response, maxFaultBytes, request.expected);
        }
        response.socket.setKeepAlive(true, keepAliveProbeMs);
        // Whoever reads the values meets it; nobody may be reading yet.
        response.on('error', () => undefined);
        return { values: readJsonLines(response, { idleTimeoutMs, signal }) };
      } catch (error) {
        throw wait.signal.aborted ? wait.fault() : error;
      } finally {
        wait.end();
      }
    },
    ownToken: async () => {
      const { authorization } = await connection.credentials();
      const [, token] = /^Bearer (.+)$/.exec(authorization?.reveal() ?? '') ?? [];
      return token === undefined ? undefined : createSecret(token);
    },
    close: () => {
      requests.destroy();
      streams.destroy();
    },
  };
}
