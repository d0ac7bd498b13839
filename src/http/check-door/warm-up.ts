import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Http1Server } from '../http1/server.ts';
import type { CheckDoorProfile } from './profile.ts';

export interface WarmUpOptions {
  readonly profile: CheckDoorProfile;
  readonly requests: number;
  /** Told why it ended early. */
  readonly onError: (error: unknown) => void;
}

/** Time for all requests together; what is not warm by then gets warm by use. */
const timeoutMs = 2000;

/**
 * Makes the first real request as fast as the hundredth: binds the server, of which this is all the use, to a port of its own,
 * asks it over one connection, one request after the other, and closes it. There is no token in them: no API server is asked and
 * nothing is charged. Never rejects.
 */
export async function warmUp(
  { listener, close, destroyConnections }: Http1Server,
  { profile, requests, onError }: WarmUpOptions,
): Promise<void> {
  if (requests === 0) return;
  try {
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      // Exclusive: workers of node:cluster would share even this port, and each other's requests.
      listener.listen({ port: 0, host: '127.0.0.1', exclusive: true }, resolve);
    });
    const { port } = listener.address() as AddressInfo;
    await askAll(connect({ port, host: '127.0.0.1', noDelay: true }), requestOf(profile), requests);
    const closed = close();
    destroyConnections();
    await closed;
  } catch (error) {
    onError(error);
    listener.close();
    destroyConnections();
  }
}

function requestOf({ original }: CheckDoorProfile): string {
  const path = '/warm-up/warm-up/v1/chat/completions';
  const told = original === undefined ? '' : `${original.method}: POST\r\n${original.path}: ${path}\r\n`;
  return `GET ${path} HTTP/1.1\r\nhost: warm-up\r\n${told}\r\n`;
}

/** An answer comes by one write, and is short: it comes in one piece. */
function askAll(socket: Socket, request: string, requests: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let asked = 0;
    function ask(): void {
      if (asked === requests) socket.end(resolve);
      else socket.write(request);
      asked += 1;
    }
    const timer = setTimeout(() => socket.destroy(new Error('the door does not answer itself')), timeoutMs);
    socket.on('connect', ask).on('data', ask).on('error', reject);
    socket.once('close', () => {
      clearTimeout(timer);
      reject(new Error('the door hung up on itself'));
    });
  });
}
