import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Agent, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What becomes of a request; watches always pass. */
export type HttpFault =
  | 'pass'
  /** The connection is reset. */
  | 'stopped'
  /** Answered with this status and a Status object, as an API server does. */
  | 401
  | 403
  | 429
  | 500
  /** 200, and a body that is no JSON. */
  | 'garbage'
  /** 200, and half of a body, then a reset. */
  | 'half'
  /** Answered two seconds late. */
  | 'slow';

/** Plain HTTP on loopback in front of an API server: fails one request as it is told to, not a connection. */
export interface HttpFaultProxy {
  readonly url: string;
  /** Requests that were no watch, so far. */
  readonly requests: () => number;
  readonly become: (fault: HttpFault) => void;
  readonly stop: () => Promise<void>;
}

const slowMs = 2_000;

export async function startHttpFaultProxy(target: {
  readonly url: string;
  readonly caPem: string;
}): Promise<HttpFaultProxy> {
  const agent = new Agent({ keepAlive: true, ca: target.caPem });
  let fault: HttpFault = 'pass';
  let requests = 0;

  function forward(incoming: IncomingMessage, response: ServerResponse): void {
    const { host: _host, ...headers } = incoming.headers;
    const outgoing = request(
      new URL(incoming.url ?? '/', target.url),
      { method: incoming.method, headers, agent },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        // A watch begins to be one before its first event.
        response.flushHeaders();
        answer.pipe(response);
      },
    );
    outgoing.on('error', () => response.destroy());
    response.on('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
  }

  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const isWatch = incoming.url?.includes('watch=true') === true;
    if (isWatch || fault === 'pass') {
      if (!isWatch) requests += 1;
      forward(incoming, response);
      return;
    }
    requests += 1;
    const json = { 'content-type': 'application/json' };
    switch (fault) {
      case 'stopped':
        incoming.socket.resetAndDestroy();
        return;
      case 'garbage':
        response.writeHead(200, json).end('<html>not what you asked for</html>');
        return;
      case 'half':
        response.writeHead(200, { ...json, 'content-length': 1_000 });
        response.write('{"kind":"TokenReview","status":{"authenticated":true');
        await sleep(5);
        incoming.socket.resetAndDestroy();
        return;
      case 'slow':
        await sleep(slowMs);
        forward(incoming, response);
        return;
      case 401:
      case 403:
      case 429:
      case 500:
        response
          .writeHead(fault, json)
          .end(JSON.stringify({ kind: 'Status', status: 'Failure', code: fault, message: 'by the test' }));
    }
  }

  const server = createServer((incoming, response) => {
    response.on('error', () => undefined);
    serve(incoming, response).catch(() => response.destroy());
  });
  server.listen({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests: () => requests,
    become: (next) => {
      fault = next;
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      agent.destroy();
      await once(server, 'close');
    },
  };
}
