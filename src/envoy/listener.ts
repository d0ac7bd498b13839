import { chmod, lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface ListenerOptions {
  /** `host:port`, `[IPv6]:port`, `unix:PATH` or `unix:///PATH` (gRPC name resolution); port 0 lets the system choose. */
  readonly address: string;
  /** Permissions of a Unix socket: who may write to it may connect (unix(7)). */
  readonly socketMode: number;
  readonly accept: (socket: Socket) => void;
}

/**
 * Where connections come from. Ours and not grpc-js's own, which can not cut off a connection once it has been
 * asked to close it in good order (1.14.7: `forceShutdown` after `tryShutdown` leaves its calls hanging).
 */
export interface Listener {
  /** With the port that it got. */
  readonly address: string;
  /** Takes no more connections, and ends those on which nothing ever came; the others go on. */
  readonly close: () => void;
  /** Ends every connection at once. */
  readonly destroyConnections: () => void;
}

/** Rejects where the address can not be had. */
export async function listen({ address, socketMode, accept }: ListenerOptions): Promise<Listener> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    accept(socket);
  });
  const path = socketPath(address);
  const [host, port] = path === undefined ? hostAndPort(address) : ['', 0];
  if (path === undefined) {
    await bind(server, { host, port });
  } else {
    await removeStaleSocket(path);
    await bind(server, { path });
    await chmod(path, socketMode);
  }
  const bound = server.address();
  return {
    address: typeof bound === 'object' && bound !== null ? withPort(address, bound.port) : address,
    close() {
      server.close();
      // HTTP/2 can not say goodbye to a peer that has not even said hello, and would wait for it.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    },
    destroyConnections() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function bind(
  server: Server,
  where: { readonly path: string } | { readonly host: string; readonly port: number },
) {
  return new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function socketPath(address: string): string | undefined {
  if (!address.startsWith('unix:')) return undefined;
  const path = address.slice('unix:'.length);
  return path.startsWith('///') ? path.slice(2) : path;
}

function hostAndPort(address: string): readonly [host: string, port: number] {
  const [, v6, name, port] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(address) ?? [];
  const host = v6 ?? name;
  if (host === undefined)
    throw new TypeError(`${address} is neither host:port nor [IPv6]:port nor unix:PATH`);
  return [host, Number(port)];
}

function withPort(address: string, port: number): string {
  return `${address.slice(0, address.lastIndexOf(':'))}:${port}`;
}

/**
 * Removes the socket that a killed process left behind, which would make `bind` fail. One that somebody listens
 * on stays, and so does any other file: to bind there is the operator's mistake, and bind says so.
 */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSocket() === true && !(await isListening(path))) await unlink(path);
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}
