import { createServer, type Server } from 'node:http';
import type { OpsListener } from './ops-routes.ts';

export interface OpsServerOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly listener: OpsListener;
}

export interface OpsServer {
  /** Rejects if it can not bind. */
  readonly start: () => Promise<{ readonly host: string; readonly port: number }>;
  /**
   * Takes no new connection, ends idle ones, lets answers under way end; when the signal aborts, cuts them
   * off. Resolves when the last connection is gone.
   */
  readonly stop: (signal: AbortSignal) => Promise<void>;
}

/** Prometheus scrapes with headers of some hundred bytes; whoever sends more is lost. */
const maxHeaderBytes = 8 * 1024;
const requestTimeoutMs = 5000;
const keepAliveTimeoutMs = 75_000;
/** Probes and a few scrapers; a flood here must not take the descriptors that the doors need. */
const maxConnections = 128;

/** The server of probes and metrics: `node:http` with tight limits. */
export function createOpsServer(options: OpsServerOptions): OpsServer {
  let isStopping = false;
  const server = createServer(
    {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
      keepAliveTimeout: keepAliveTimeoutMs,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      // Whoever asks while we drain should not come back on this connection.
      if (isStopping) response.setHeader('Connection', 'close');
      // Asked before and answered after: `close` waits for this connection until its keep-alive runs out.
      response.once('finish', () => {
        if (isStopping) request.socket.destroySoon();
      });
      options.listener(request, response);
    },
  );
  server.maxConnections = maxConnections;
  server.on('upgrade', (_request, socket) => socket.destroy());
  server.on('connect', (_request, socket) => socket.destroy());

  return {
    start: () => listen(server, options),
    stop(signal) {
      isStopping = true;
      return new Promise((resolve) => {
        const cutOff = () => server.closeAllConnections();
        server.close(() => {
          signal.removeEventListener('abort', cutOff);
          resolve();
        });
        server.closeIdleConnections();
        if (signal.aborted) cutOff();
        else signal.addEventListener('abort', cutOff, { once: true });
      });
    },
  };
}

function listen(
  server: Server,
  { host, port }: OpsServerOptions,
): Promise<{ readonly host: string; readonly port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      const bound = server.address();
      resolve({ host, port: typeof bound === 'object' && bound !== null ? bound.port : port });
    });
  });
}
