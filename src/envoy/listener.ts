import { createServer, type Socket } from 'node:net';
import { bindListener, type SocketAccess } from '../bind-listener.ts';

export interface ListenerOptions {
  /** `host:port`, `[IPv6]:port`, `unix:PATH` or `unix:///PATH`; port 0 lets the system choose. */
  readonly address: string;
  readonly socketAccess: SocketAccess;
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

/** Rejects where the address can not be had, as `bindListener` does. */
export async function listen({ address, socketAccess, accept }: ListenerOptions): Promise<Listener> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    accept(socket);
  });
  return {
    address: await bindListener(server, address, socketAccess),
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
