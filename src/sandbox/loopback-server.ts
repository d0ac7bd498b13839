import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface LoopbackServerOptions {
  /** 0 takes a free one; the one taken is kept for another start. */
  readonly port: number;
  readonly onRequest: RequestListener;
  /** How long a request's head and body may take to arrive, in milliseconds. Default 30 000. */
  readonly requestTimeoutMs?: number;
}

/** An HTTP server on 127.0.0.1 that can be stopped and started again. */
export interface LoopbackServer {
  /** Rejects when the port is taken. */
  readonly start: () => Promise<{ readonly url: string; readonly port: number }>;
  /** Ends every connection at once; safe to call when it is not started. */
  readonly stop: () => Promise<void>;
  /** Ends every connection and goes on listening. */
  readonly disconnect: () => void;
  /** Without a slash at the end; the port is 0 before the first start. */
  readonly url: () => string;
}

const host = '127.0.0.1';
const headersTimeoutMs = 10_000;
/** Longer than clients keep idle connections, so that it is they who close them. */
const keepAliveTimeoutMs = 90_000;

export function createLoopbackServer(options: LoopbackServerOptions): LoopbackServer {
  let port = options.port;
  let running: Server | undefined;
  const url = () => `http://${host}:${port}`;

  return {
    url,
    start: async () => {
      const server = createServer(
        {
          headersTimeout: headersTimeoutMs,
          requestTimeout: options.requestTimeoutMs ?? 30_000,
          keepAliveTimeout: keepAliveTimeoutMs,
        },
        options.onRequest,
      );
      server.listen(port, host);
      await once(server, 'listening');
      running = server;
      port = (server.address() as AddressInfo).port;
      return { url: url(), port };
    },
    stop: async () => {
      const server = running;
      if (server === undefined) return;
      running = undefined;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
    disconnect: () => running?.closeAllConnections(),
  };
}
