import { once } from 'node:events';
import { createServer, type ListenOptions, type Server } from 'node:net';

/**
 * Below Linux' ephemeral ports (32768 and up): a port that the kernel hands to outgoing connections could
 * be taken between our look and the server's bind, and again while a test has its server stopped.
 */
const lowestPort = 15_000;
const highestPort = 32_000;

/**
 * A TCP port on which nobody listens on 127.0.0.1. Until this process ends no other call gets it, here or in a process
 * beside it, also while nobody listens: files run side by side, and a test may have its server stopped for a while.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = lowestPort + Math.floor(Math.random() * (highestPort - lowestPort));
    if ((await claim(port)) && (await canListen(port))) return port;
  }
}

/** By an abstract socket of Linux: one process can have the name, and the kernel frees it when that process ends. */
async function claim(port: number): Promise<boolean> {
  const server = createServer();
  const isClaimed = await listens(server, { path: `\0tiergate-test-port-${port}` });
  server.unref();
  return isClaimed;
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  try {
    return await listens(server, { host: '127.0.0.1', port, exclusive: true });
  } finally {
    server.close();
  }
}

async function listens(server: Server, options: ListenOptions): Promise<boolean> {
  try {
    server.listen(options);
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  }
}
