import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe } from 'vitest';
import type { Outcome } from '../../src/check/outcome.ts';
import type { CheckRequestInput } from '../../src/envoy/check-request.ts';
import { createEnvoyServer, type EnvoyServer, type EnvoyServerOptions } from '../../src/envoy/server.ts';
import type { TransportKind } from '../../src/envoy/transport.ts';
import { createGrpcClient, type GrpcClient } from './grpc-client.ts';
import { sampleAllowed } from './sample.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).toReversed()) await clean();
});

/** To be done when the test that is running has ended; last first. */
export function atEnd(clean: () => unknown): void {
  cleanups.push(clean);
}

/** Of servers of the test that is running. */
let transport: TransportKind | undefined;

/** What holds for both transports: the library's is the way back (ADR 18). */
export function describeOnEachTransport(name: string, define: () => void): void {
  describe.each(['tiergate', 'grpc-js'] as const)(`${name}, on the transport %s`, (kind) => {
    beforeEach(() => {
      transport = kind;
    });
    afterEach(() => {
      transport = undefined;
    });
    define();
  });
}

export interface Served {
  readonly server: EnvoyServer;
  readonly address: string;
  readonly client: GrpcClient;
  /** One more connection. */
  readonly connect: (channel?: ChannelCredentials, options?: ChannelOptions) => GrpcClient;
  readonly recorded: readonly {
    readonly outcome: Outcome;
    readonly input: CheckRequestInput | undefined;
    readonly durationMs: number;
  }[];
  readonly faults: readonly { readonly error: unknown; readonly fault: string }[];
}

/** A server on loopback that allows everything, with a client; both end with the test. */
export async function serve(options: Partial<EnvoyServerOptions> = {}): Promise<Served> {
  const recorded: Served['recorded'][number][] = [];
  const faults: Served['faults'][number][] = [];
  const server = createEnvoyServer({
    address: '127.0.0.1:0',
    check: () => sampleAllowed,
    headers: [],
    credentialHeaders: ['authorization'],
    realm: 'tiergate',
    recordOutcome: (outcome, input, durationMs) => recorded.push({ outcome, input, durationMs }),
    onError: (error, fault) => faults.push({ error, fault }),
    transport,
    ...options,
    tuning: { warmUpCalls: 0, ...options.tuning },
  });
  const address = await server.start();
  atEnd(() => server.stop({ drainDelayMs: 0, graceMs: 0 }));
  const connect = (channel?: ChannelCredentials, channelOptions?: ChannelOptions) => {
    const client = createGrpcClient(address, channel, channelOptions);
    atEnd(client.close);
    return client;
  };
  return { server, client: connect(), connect, address, recorded, faults };
}
