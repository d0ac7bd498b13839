import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { OpsListener } from './ops-routes.ts';

export interface OpsServerOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Of a request, all its headers together; default 8 KiB. */
  readonly maxHeaderBytes?: number;
  /** PEM; absent: plain HTTP. */
  readonly tls?: ServerCertificate;
  readonly listener: OpsListener;
}

export interface ServerCertificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface OpsServer {
  /** Rejects if it can not bind. */
  readonly start: () => Promise<{ readonly host: string; readonly port: number }>;
  /**
   * Takes no new connection, ends idle ones, lets answers under way end; when the signal aborts, cuts them
   * off. Resolves when the last connection is gone.
   */
  readonly stop: (signal: AbortSignal) => Promise<void>;
  /** New connections get this one. Throws if it is of no use; what was there before is used on. Only with `tls`. */
  readonly renewCertificate: (certificate: ServerCertificate) => void;
}

/** Prometheus scrapes with headers of some hundred bytes; whoever sends more is lost. */
const defaultMaxHeaderBytes = 8 * 1024;
const requestTimeoutMs = 5000;
const keepAliveTimeoutMs = 75_000;
/** Probes and a few scrapers; a flood here must not take the descriptors that the doors need. */
const maxConnections = 128;

/** The server of probes and metrics, and of the console: `node:http` with tight limits. */
export function createOpsServer(options: OpsServerOptions): OpsServer {
  let isStopping = false;
  const limits = {
    maxHeaderSize: options.maxHeaderBytes ?? defaultMaxHeaderBytes,
    headersTimeout: requestTimeoutMs,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionsCheckingInterval: 1000,
  };
  const listener: RequestListener = (request, response) => {
    // Whoever asks while we drain should not come back on this connection.
    if (isStopping) response.setHeader('Connection', 'close');
    // Asked before and answered after: `close` waits for this connection until its keep-alive runs out.
    response.once('finish', () => {
      if (isStopping) request.socket.destroySoon();
    });
    options.listener(request, response);
  };
  const tlsServer: TlsServer | undefined =
    options.tls && createTlsServer({ ...limits, ...options.tls, minVersion: 'TLSv1.2' }, listener);
  const server: Server | TlsServer = tlsServer ?? createServer(limits, listener);
  server.maxConnections = maxConnections;
  server.on('upgrade', (_request, socket) => socket.destroy());
  server.on('connect', (_request, socket) => socket.destroy());

  return {
    start: () => listen(server, options),
    renewCertificate: (certificate) => tlsServer?.setSecureContext({ ...certificate, minVersion: 'TLSv1.2' }),
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
  server: Server | TlsServer,
  { host, port }: OpsServerOptions,
): Promise<{ readonly host: string; readonly port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // One that is a worker of several binds for itself, and shares with nobody.
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject);
      const bound = server.address();
      resolve({ host, port: typeof bound === 'object' && bound !== null ? bound.port : port });
    });
  });
}
