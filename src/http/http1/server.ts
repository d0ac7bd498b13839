import { createServer, type Server, type Socket } from 'node:net';
import type { Answer } from './answer.ts';
import { unreadBytes } from './answers.ts';
import { type Connection, type ConnectionOptions, createConnection } from './connection.ts';
import type { Receiver } from './exchange.ts';

export interface Http1Limits {
  /** Request line and headers together, in bytes; trailers too. */
  readonly maxHeaderBytes: number;
  /** In bytes. The rest of a longer body is not read. */
  readonly maxBodyBytes: number;
  /** For the headers of a request, in milliseconds. */
  readonly headersTimeoutMs: number;
  /** For a request as a whole, and for a peer to read something of its answers, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** Quiet time after which a connection is closed, in milliseconds. */
  readonly keepAliveMs: number;
  /** More are turned away at once. */
  readonly maxConnections: number;
}

export interface Http1ServerOptions {
  readonly limits: Http1Limits;
  /** For each connection: who it is from (undefined on a Unix socket), and how to answer. */
  readonly serve: (remoteAddress: string | undefined, answer: Connection['answer']) => Receiver;
  /** To what is no request, or not in time (a status of RFC 9110 below 500), and where the receiver threw (500). */
  readonly refusal: (status: number) => Answer;
  /** Told of bugs, and of connections that the system could not give. Must not throw. */
  readonly onError: (error: unknown) => void;
}

export interface Http1Server {
  /** To be bound. */
  readonly listener: Server;
  /** From now on every connection ends with its next answer. */
  readonly leave: () => void;
  /** Takes no more connections and ends idle ones; resolves when all are closed. */
  readonly close: () => Promise<void>;
  /** Cuts off every connection. */
  readonly destroyConnections: () => void;
}

/** For a peer to read why it is turned away, or its last answer. */
const lingerMs = 1000;

/** HTTP/1.1 without TLS (RFC 9112). One timer watches all connections. */
export function createHttp1Server(options: Http1ServerOptions): Http1Server {
  const { limits, serve, refusal, onError } = options;
  const { headersTimeoutMs, requestTimeoutMs, keepAliveMs } = limits;
  const connections = new Map<Socket, Connection>();
  let ticks = 0;
  let isLeaving = false;

  const tickMs = Math.min(1000, Math.ceil(Math.min(headersTimeoutMs, requestTimeoutMs, keepAliveMs) / 10));
  const ticksOf = (ms: number) => Math.ceil(ms / tickMs);
  const connectionOptions: ConnectionOptions = {
    limits,
    times: {
      head: ticksOf(Math.min(headersTimeoutMs, requestTimeoutMs)),
      body: ticksOf(requestTimeoutMs),
      idle: ticksOf(keepAliveMs),
      unread: ticksOf(requestTimeoutMs),
      ended: ticksOf(lingerMs),
    },
    tick: () => ticks,
    isLeaving: () => isLeaving,
    refusal,
    onError,
  };

  const listener = createServer(
    {
      // A peer that has said all still gets its answers.
      allowHalfOpen: true,
      // Said, since Node's own differs between its versions.
      highWaterMark: unreadBytes,
      noDelay: true,
      // Of TCP: for peers that are gone without a word.
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    },
    (socket) => {
      const { remoteAddress } = socket;
      const connection = createConnection(
        socket,
        (answer) => serve(remoteAddress, answer),
        connectionOptions,
      );
      connections.set(socket, connection);
      socket.once('close', () => connections.delete(socket));
    },
  );
  listener.maxConnections = limits.maxConnections;
  listener.once('listening', () => {
    // What keeps it from listening is for whoever binds it.
    listener.on('error', onError);
    const timer = setInterval(() => {
      ticks += 1;
      for (const connection of connections.values()) connection.look();
    }, tickMs).unref();
    listener.once('close', () => clearInterval(timer));
  });

  return {
    listener,
    leave() {
      isLeaving = true;
    },
    close() {
      isLeaving = true;
      return new Promise((resolve) => {
        listener.close(() => resolve());
        for (const connection of connections.values()) connection.endIfIdle();
      });
    },
    destroyConnections() {
      for (const socket of connections.keys()) socket.destroy();
    },
  };
}
