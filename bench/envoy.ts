import { gatewayBootstrap } from '../src/sandbox/envoy-bootstrap.ts';
import type { Endpoint } from '../src/sandbox/envoy-cluster.ts';
import { startEnvoy } from '../test/real/envoy.ts';

/** An Envoy with one worker, in front of the benchmark's upstream. */
export interface Gateway {
  readonly port: number;
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

export interface GatewayOptions {
  /** Undefined: Envoy alone, without ext_authz. */
  readonly authorizer: Endpoint | undefined;
  /** Present: it is asked there, over HTTP. */
  readonly httpDoor?: Endpoint | undefined;
  readonly upstreamPort: number;
}

/** As deploy/envoy has it where that costs or saves time: only what a stage reads is sent, no access log to a file. */
export function startBenchEnvoy({ authorizer, httpDoor, upstreamPort }: GatewayOptions): Promise<Gateway> {
  return startEnvoy({
    concurrency: 1,
    bootstrap: (place) => {
      const bootstrap = gatewayBootstrap(place, {
        authorizer: authorizer ?? { port: 1 },
        ...(httpDoor !== undefined && { httpDoor }),
        model: { port: upstreamPort },
        allowedHeaders: ['authorization', 'content-length'],
        normalizePath: 'REJECT_REQUEST',
        // A machine that is busy otherwise makes it slow, and not wrong.
        timeoutMs: 10_000,
      });
      return withoutFilters(bootstrap, authorizer === undefined) as object;
    },
  });
}

/** Takes out the access log, and ext_authz where Envoy is to be alone. */
function withoutFilters(node: unknown, isAlone: boolean): unknown {
  if (Array.isArray(node)) {
    return node
      .filter((item: unknown) => !(isAlone && nameOf(item) === 'ext_authz'))
      .map((item: unknown) => withoutFilters(item, isAlone));
  }
  if (typeof node !== 'object' || node === null) return node;
  return Object.fromEntries(
    Object.entries(node)
      .filter(([key]) => key !== 'access_log')
      .map(([key, value]) => [key, withoutFilters(value, isAlone)]),
  );
}

function nameOf(node: unknown): unknown {
  return typeof node === 'object' && node !== null && 'name' in node ? node.name : undefined;
}
