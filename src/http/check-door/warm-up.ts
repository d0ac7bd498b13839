import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CheckHandler } from './handler.ts';
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
 * Makes the first real request as fast as the hundredth: asks the handler over a loopback connection of its own, one
 * request after the other, and closes it again. There is no token in them: no API server is asked and nothing is
 * charged. Never rejects.
 */
export async function warmUp(handler: CheckHandler, options: WarmUpOptions): Promise<void> {
  const { profile, requests, onError } = options;
  if (requests === 0) return;
  const path = '/warm-up/warm-up/v1/chat/completions';
  const { original } = profile;
  const headers = original === undefined ? {} : { [original.method]: 'POST', [original.path]: path };
  const server = createServer(handler);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // Exclusive: workers of node:cluster would share even this port, and each other's requests.
      server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, resolve);
    });
    const { port } = server.address() as AddressInfo;
    for (let made = 0; made < requests; made += 1) {
      await new Promise<void>((resolve, reject) => {
        request({ host: '127.0.0.1', port, path, agent, headers, signal }, (response) => {
          response.resume();
          response.once('end', resolve);
        })
          .once('error', reject)
          .end();
      });
    }
  } catch (error) {
    onError(error);
  } finally {
    agent.destroy();
    server.close();
    server.closeAllConnections();
  }
}
