import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * A TCP proxy on loopback that can be made to fail like a network or a server does. It forwards bytes, so
 * TLS, HTTP/2 and Redis all pass through it. A change of fault counts for open connections too.
 */
export interface FaultProxy {
  readonly port: number;
  /** How many connections it has accepted. */
  readonly accepted: () => number;
  /** Ends every fault. Bytes held back by `hang` go on their way. The state it starts in. */
  readonly pass: () => Promise<void>;
  /** Open connections are reset and nobody listens on the port: ECONNREFUSED. */
  readonly refuse: () => Promise<void>;
  /** Connections are accepted and stay open, no byte goes either way. */
  readonly hang: () => Promise<void>;
  /** Answers arrive `delayMs` later than they would; requests are not delayed. */
  readonly slow: (delayMs: number) => Promise<void>;
  /** Resets the connections that are open now; new ones meet the fault in force. */
  readonly cut: () => void;
  readonly stop: () => Promise<void>;
}

type Fault =
  | { readonly kind: 'pass' | 'refuse' | 'hang' }
  | { readonly kind: 'slow'; readonly delayMs: number };

/** Starts in the state `pass`. The target need not listen yet; while it does not, connections are reset. */
export async function startFaultProxy(targetPort: number): Promise<FaultProxy> {
  let fault: Fault = { kind: 'pass' };
  let acceptedCount = 0;
  const links = new Set<Link>();

  const server = createServer({ allowHalfOpen: true }, (client) => {
    acceptedCount += 1;
    const link = createLink(client, targetPort, () => fault);
    links.add(link);
    client.once('close', () => links.delete(link));
  });
  await listen(server, 0);
  const { port } = server.address() as AddressInfo;

  const cut = (): void => {
    for (const link of links) link.reset();
  };
  const become = async (next: Fault): Promise<void> => {
    fault = next;
    if (!server.listening) await listen(server, port);
    for (const link of links) link.flush();
  };
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    // Told before cut(): a server counts as closed only when its last connection is.
    const closed = once(server, 'close');
    server.close();
    cut();
    await closed;
  };

  return {
    port,
    accepted: () => acceptedCount,
    pass: () => become({ kind: 'pass' }),
    refuse: async () => {
      fault = { kind: 'refuse' };
      await close();
    },
    hang: () => become({ kind: 'hang' }),
    slow: (delayMs) => become({ kind: 'slow', delayMs }),
    cut,
    stop: close,
  };
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen({ host: '127.0.0.1', port });
  await once(server, 'listening');
}

interface Link {
  /** Sends what may go now; called when the fault has changed. */
  readonly flush: () => void;
  readonly reset: () => void;
}

function createLink(client: Socket, targetPort: number, fault: () => Fault): Link {
  const target = connect({ host: '127.0.0.1', port: targetPort, allowHalfOpen: true });
  client.setNoDelay(true);
  target.setNoDelay(true);
  const reset = (): void => {
    client.resetAndDestroy();
    target.resetAndDestroy();
  };
  client.on('error', reset);
  target.on('error', reset);
  const requests = createPump(client, target, () => (fault().kind === 'hang' ? Infinity : 0));
  const answers = createPump(target, client, () => {
    const now = fault();
    if (now.kind === 'hang') return Infinity;
    return now.kind === 'slow' ? now.delayMs : 0;
  });
  return {
    flush: () => {
      requests();
      answers();
    },
    reset,
  };
}

/**
 * Moves bytes and the end of the stream from one socket to the other, each `delayMs()` after it arrived;
 * Infinity holds it until the returned function is called under another fault.
 */
function createPump(from: Socket, to: Socket, delayMs: () => number): () => void {
  // undefined is the end of the stream.
  const held: { readonly chunk: Buffer | undefined; readonly arrivedAtMs: number }[] = [];
  let timer: NodeJS.Timeout | undefined;

  const flush = (): void => {
    clearTimeout(timer);
    for (let next = held[0]; next !== undefined; next = held[0]) {
      const waitMs = next.arrivedAtMs + delayMs() - performance.now();
      if (waitMs > 0) {
        if (waitMs !== Infinity) timer = setTimeout(flush, Math.ceil(waitMs));
        return;
      }
      held.shift();
      if (next.chunk === undefined) to.end();
      else to.write(next.chunk);
    }
  };
  const hold = (chunk: Buffer | undefined): void => {
    held.push({ chunk, arrivedAtMs: performance.now() });
    flush();
  };
  from.on('data', hold);
  from.on('end', () => hold(undefined));
  to.on('close', () => clearTimeout(timer));
  return flush;
}
