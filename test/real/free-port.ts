import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below Linux' ephemeral ports (32768 and up): a port that the kernel hands to outgoing connections could
 * be taken between our look and the server's bind, and again while a test has its server stopped.
 */
const lowestPort = 15_000;
const highestPort = 32_000;

const handedOut = new Set<number>();

/** A TCP port on which nobody listens on 127.0.0.1, never the same one twice in this process. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = lowestPort + Math.floor(Math.random() * (highestPort - lowestPort));
    if (handedOut.has(port)) continue;
    handedOut.add(port);
    if (await canListen(port)) return port;
  }
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen({ host: '127.0.0.1', port, exclusive: true });
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
