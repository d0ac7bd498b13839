import { setTimeout as sleep } from 'node:timers/promises';
import { createCheckClient } from '../envoy/check-client.ts';
import type { Lifecycle } from '../process/lifecycle.ts';
import { EnvoyStartFault, findEnvoy, startEnvoyProcess } from '../sandbox/envoy-process.ts';
import { createGateway } from '../sandbox/gateway.ts';

export interface GatewayOptions {
  /** On 127.0.0.1; 0 takes a free one. */
  readonly port: number;
  readonly useEnvoy: boolean;
  /** Folders to look for Envoy in, as in the environment. */
  readonly path: string | undefined;
  readonly lifecycle: Lifecycle;
  readonly grpcAddress: string;
  readonly modelPort: number;
  readonly issuerPort: number;
}

export interface SandboxGateway {
  readonly port: number;
  /** What it is, for the start text. */
  readonly words: string;
  /** Calls back if an Envoy ends while nobody has told it to. */
  readonly onLost: (lost: () => void) => void;
}

/** What Envoy gives the authorizer in an installation. */
const checkTimeoutMs = 1_000;

/** Ctrl-C reaches Envoy as well, and it may be gone before we know of the signal. */
const sameCtrlCMs = 300;

/**
 * A real Envoy where there is one on the PATH and it starts, else the built-in gateway, which asks Check as Envoy
 * does. Rejects as `listen` does when the port can not be had.
 */
export async function startGateway(options: GatewayOptions): Promise<SandboxGateway> {
  if (!options.useEnvoy) return await startBuiltIn(options, 'built in');
  const envoy = findEnvoy(options.path);
  if (envoy === undefined) return await startBuiltIn(options, 'built in: there is no envoy on the PATH');
  try {
    return await startEnvoy(options, envoy);
  } catch (error) {
    if (!(error instanceof EnvoyStartFault)) throw error;
    return await startBuiltIn(options, `built in: ${envoy} did not start: ${error.message}`);
  }
}

async function startEnvoy(options: GatewayOptions, envoy: string): Promise<SandboxGateway> {
  const { lifecycle, grpcAddress } = options;
  const authorizerPort = Number(grpcAddress.slice(grpcAddress.lastIndexOf(':') + 1));
  const { port, ended } = await lifecycle.start({
    name: 'gateway',
    start: () => startEnvoyProcess({ ...options, envoy, authorizerPort }),
    stop: (started) => started.stop(),
  });
  return {
    port,
    words: `Envoy, ${envoy}`,
    onLost(lost) {
      void ended.then(() => sleep(sameCtrlCMs)).then(() => (lifecycle.signal.aborted ? undefined : lost()));
    },
  };
}

async function startBuiltIn(
  { port: wanted, lifecycle, grpcAddress, modelPort, issuerPort }: GatewayOptions,
  words: string,
): Promise<SandboxGateway> {
  const client = createCheckClient(grpcAddress);
  const gateway = createGateway({ ...client, checkTimeoutMs, modelPort, issuerPort });
  const port = await lifecycle.start({
    name: 'gateway',
    start: () => gateway.listen(wanted),
    async stop() {
      client.close();
      await gateway.close();
    },
  });
  return { port, words, onLost: () => undefined };
}
