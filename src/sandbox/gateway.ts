import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import type { CheckAnswer, CheckClient, CheckQuestion, Granted } from '../envoy/check-client.ts';
import { createUsageReader, type UsageReader } from '../settle/usage-in-body.ts';
import { readBytes } from './read-bytes.ts';

type HeaderList = readonly (readonly [name: string, value: string])[];

export interface GatewayOptions {
  readonly ask: CheckClient['ask'];
  readonly tellEnd: CheckClient['tellEnd'];
  /** Milliseconds for a Check; Envoy's `timeout` of the ext_authz filter. */
  readonly checkTimeoutMs: number;
  /** Ports on 127.0.0.1. */
  readonly modelPort: number;
  readonly issuerPort: number;
}

export interface Gateway {
  /** Binds 127.0.0.1; port 0 takes a free one. Resolves to the port. */
  readonly listen: (port: number) => Promise<number>;
  readonly close: () => Promise<void>;
}

/** RFC 9110 section 7.6.1: of one connection, never forwarded. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * The gateway of a sandbox without Envoy: asks the authorizer about every request as Envoy's ext_authz filter
 * does, applies what it answers, and streams both ways. It routes as Envoy is told to in the sandbox, and leaves
 * paths as they came, so that refusing hostile ones is the authorizer's doing. No substitute for Envoy elsewhere.
 */
export function createGateway(options: GatewayOptions): Gateway {
  const server = createServer((incoming, outgoing) => {
    void serve(incoming, outgoing, options).catch(() => {
      // As Envoy with failure_mode_allow: false and status_on_error: 503: no body.
      if (outgoing.headersSent) outgoing.destroy();
      else outgoing.writeHead(503).end();
    });
  });
  return {
    listen: (port) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, '127.0.0.1', () => {
          server.off('error', reject);
          resolve((server.address() as AddressInfo).port);
        });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function serve(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  options: GatewayOptions,
): Promise<void> {
  const body = isIssuerPath(incoming.url ?? '') ? undefined : await readBytes(incoming, maxBodyBytes);
  if (body === undefined && !isIssuerPath(incoming.url ?? '')) {
    outgoing.writeHead(413, { 'content-type': 'text/plain' }).end('Payload Too Large');
    return;
  }
  const question = { ...questionOf(incoming), body };
  const answer = await options.ask(question, options.checkTimeoutMs);
  if (!answer.allowed) {
    // What the client still sends is nobody's: Envoy closes such a stream too.
    incoming.resume();
    outgoing.writeHead(answer.status, flat(answer.headers)).end(answer.body);
    return;
  }
  const counted = watchEnd(outgoing, answer.granted, options.tellEnd);
  const headers = upstreamHeaders(question, answer);
  const port = isIssuerPath(question.path) ? options.issuerPort : options.modelPort;
  const upstream = request(
    { host: '127.0.0.1', port, method: question.method, path: question.path, headers },
    (response) => {
      const responseHeaders = Object.entries(response.headers)
        .filter(([name]) => !hopByHop.has(name))
        .flatMap(([name, value]) =>
          (Array.isArray(value) ? value : [value ?? '']).map((one) => [name, one] as const),
        );
      counted(response);
      outgoing.writeHead(response.statusCode ?? 502, flat([...responseHeaders, ...answer.responseHeaders]));
      // Either side going away ends the other: pipeline destroys both.
      pipeline(response, outgoing, () => undefined);
    },
  );
  upstream.on('error', () => {
    if (outgoing.headersSent) outgoing.destroy();
    else outgoing.writeHead(503, { 'content-type': 'text/plain' }).end('upstream connect error');
  });
  outgoing.on('close', () => upstream.destroy());
  if (body === undefined) pipeline(incoming, upstream, () => undefined);
  else upstream.end(body);
}

/** Bodies that Envoy's filters hold until they are whole; a longer one is refused. */
const maxBodyBytes = 1024 * 1024;

/**
 * Tells the authorizer of the end of a request that has something of it, with what its answer says that it used. Returns
 * what looks at that answer.
 */
function watchEnd(
  outgoing: ServerResponse,
  granted: Granted,
  tellEnd: GatewayOptions['tellEnd'],
): (response: IncomingMessage) => void {
  if (granted['slot_id'] === undefined && granted['reservation_id'] === undefined) return () => undefined;
  let reader: UsageReader | undefined;
  let responseBytes = 0;
  whenClosed(outgoing, () => {
    const { inputTokens, outputTokens, totalTokens } = reader?.usage() ?? {};
    tellEnd({
      granted,
      status: outgoing.headersSent ? outgoing.statusCode : 0,
      responseBytes,
      usage: {
        ...(inputTokens !== undefined && { prompt_tokens: inputTokens }),
        ...(outputTokens !== undefined && { completion_tokens: outputTokens }),
        ...(totalTokens !== undefined && { total_tokens: totalTokens }),
      },
    });
  });
  return (response) => {
    const { 'content-type': contentType, 'content-encoding': contentEncoding } = response.headers;
    reader = createUsageReader({ contentType, contentEncoding });
    response.on('data', (chunk: Buffer) => {
      responseBytes += chunk.length;
      reader?.write(chunk);
    });
  };
}

/** Also where the client went away while the authorizer was asked. */
function whenClosed(outgoing: ServerResponse, done: () => void): void {
  if (outgoing.closed || outgoing.destroyed) done();
  else outgoing.once('close', done);
}

function questionOf(incoming: IncomingMessage): CheckQuestion {
  const headers: Record<string, string> = {};
  // headersDistinct keeps every copy, where `headers` silently keeps the first authorization.
  for (const [name, values] of Object.entries(incoming.headersDistinct))
    headers[name] = (values ?? []).join(',');
  return {
    id: randomUUID(),
    method: incoming.method ?? 'GET',
    path: incoming.url ?? '',
    host: headers['host'] ?? '',
    source: incoming.socket.remoteAddress ?? '',
    headers,
  };
}

function upstreamHeaders(
  { headers }: CheckQuestion,
  { headersToRemove, headers: set }: Extract<CheckAnswer, { allowed: true }>,
): Record<string, string> {
  const kept = new Map(Object.entries(headers).filter(([name]) => !hopByHop.has(name)));
  // As in the Envoys of deploy/: usage can not be found in what is compressed.
  kept.delete('accept-encoding');
  for (const name of headersToRemove) kept.delete(name.toLowerCase());
  for (const [name, value] of set) kept.set(name.toLowerCase(), value);
  return Object.fromEntries(kept);
}

/** By whole segments, as the routes of a real installation. */
function isIssuerPath(path: string): boolean {
  return /^\/(maas-api|v1\/models)(?=[/?]|$)/.test(path);
}

function flat(headers: HeaderList): string[] {
  return headers.flatMap(([name, value]) => [name, value]);
}
