import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** Counts connections, the first is 1. */
  readonly connection: number;
}

/** Answers one request in its own way; what it leaves unanswered stays open. */
export type FaultAnswer = (response: ServerResponse, request: ReceivedRequest) => void;

/** A server that answers as a test tells it to, wrong answers above all. */
export interface FaultServer {
  readonly url: string;
  readonly port: number;
  readonly requests: readonly ReceivedRequest[];
  readonly connections: () => number;
  /** From the next request on. */
  readonly answer: (answer: FaultAnswer) => void;
  /** Ends every connection, and refuses new ones until `start`. */
  readonly stop: () => Promise<void>;
  readonly start: () => Promise<void>;
}

export async function startFaultServer(answer: FaultAnswer, tls?: ServerOptions): Promise<FaultServer> {
  let current = answer;
  const requests: ReceivedRequest[] = [];
  const numbers = new WeakMap<Socket, number>();
  let connections = 0;

  const onRequest = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = '';
    request.setEncoding('utf8');
    for await (const chunk of request) body += chunk;
    const { method = '', url = '', headers } = request;
    const received = {
      method,
      path: url,
      headers,
      body,
      connection: numbers.get(request.socket) ?? 0,
    };
    requests.push(received);
    current(response, received);
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    // A client that leaves in the middle of its request is no concern of this server.
    onRequest(request, response).catch(() => undefined);
  };
  const server =
    tls === undefined
      ? createHttpServer(listener)
      : createHttpsServer({ ...tls, key: tls.key ?? '', cert: tls.cert ?? '' }, listener);
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    connections += 1;
    numbers.set(socket, connections);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    requests,
    connections: () => connections,
    answer: (next) => {
      current = next;
    },
    stop: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
    start: async () => {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
  };
}

export function json(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): FaultAnswer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
}

/** Whatever comes out of something that is no API server. */
export function text(
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): FaultAnswer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'text/html', ...headers });
    response.end(body);
  };
}

/** Never answers; the connection stays open. */
export const hang: FaultAnswer = () => undefined;

/** Ends the connection without an answer. */
export const cut: FaultAnswer = (response) => {
  response.destroy();
};

/** Promises the whole, sends half, cuts. */
export const halfBody: FaultAnswer = (response) => {
  const whole = JSON.stringify({ kind: 'TokenReview', status: { authenticated: true } });
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': whole.length });
  response.write(whole.slice(0, whole.length / 2), () => response.destroy());
};

/** Begins an answer and never ends it. */
export const endless: FaultAnswer = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('{"kind":');
};
