import { type ClientRequest, type Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { DependencyError, isDependencyError } from '../dependency-error.ts';
import { malformed } from './answer.ts';
import type { Credentials } from './cluster-access.ts';
import type { Connection } from './connection.ts';
import { unlessAborted } from './wait.ts';

export interface Sendable {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  readonly contentType?: string;
  readonly accept?: string;
  /** False: a connection of its own. */
  readonly agent: Agent | false;
  /** Whether it may be sent again when nothing tells that it arrived. */
  readonly isRepeatable: boolean;
}

/** One request to the head of its answer, whatever its status. Throws DependencyError when there is none. */
export type Exchange = (request: Sendable, signal: AbortSignal) => Promise<IncomingMessage>;

export function createExchange(connection: Connection): Exchange {
  const isSecure = connection.server.protocol === 'https:';
  const basePath = connection.server.pathname.replace(/\/$/, '');

  function begin(request: Sendable, credentials: Credentials, signal: AbortSignal): ClientRequest {
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    const outgoing = (isSecure ? httpsRequest : httpRequest)({
      host: connection.server.hostname.replace(/^\[|\]$/g, ''),
      port: connection.server.port === '' ? undefined : Number(connection.server.port),
      method: request.method,
      path: `${basePath}${request.path}`,
      agent: credentials.agent ?? request.agent,
      signal,
      ...(isSecure && credentials.tls()),
      headers: {
        ...credentials.headers,
        ...(credentials.authorization !== undefined && { authorization: credentials.authorization.reveal() }),
        accept: request.accept ?? 'application/json',
        'user-agent': 'tiergate',
        ...(body !== undefined && {
          'content-type': request.contentType ?? 'application/json',
          'content-length': Buffer.byteLength(body),
        }),
      },
    });
    outgoing.end(body);
    return outgoing;
  }

  /** The head of the answer, from a connection that lives. */
  async function send(request: Sendable, credentials: Credentials, signal: AbortSignal) {
    const outgoing = begin(request, credentials, signal);
    try {
      return await responseTo(outgoing);
    } catch (error) {
      // A kept connection that the other side had closed meanwhile: nothing of the request was read there.
      const isStale = outgoing.reusedSocket && isReset(error);
      if (!isStale || !request.isRepeatable || signal.aborted) throw networkFault(error);
    }
    return responseTo(begin({ ...request, agent: false }, credentials, signal)).catch((error: unknown) => {
      throw networkFault(error);
    });
  }

  // After a 401 once more with renewed credentials, where there are any.
  return async (request, signal) => {
    const credentials = await unlessAborted(connection.credentials(), signal);
    const response = await send(request, credentials, signal);
    if (response.statusCode !== 401) return response;
    const renewed = await unlessAborted(connection.renew(credentials), signal);
    if (renewed === undefined) return response;
    response.resume();
    return send(request, renewed, signal);
  };
}

function responseTo(outgoing: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    // Stays, since an aborted request may fail once more after its answer began.
    outgoing.on('error', reject);
  });
}

function isReset(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ECONNRESET' || code === 'EPIPE';
}

/** Everything that node:http emits as an error before an answer began. */
function networkFault(error: unknown): DependencyError {
  if (isDependencyError(error)) return error;
  const code = codeOf(error);
  // Node's HTTP parser: whoever answered does not speak HTTP.
  if (code.startsWith('HPE_')) return malformed(code);
  return new DependencyError('kubernetes', 'unreachable', { detail: code, cause: error });
}

function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : 'no connection';
}
