import { gatewayBootstrap } from '../src/sandbox/envoy-bootstrap.ts';
import { cluster, type Endpoint } from '../src/sandbox/envoy-cluster.ts';
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
  /** A rate limit service of others, asked with the `user` that the authorizer said. */
  readonly limiter?: Endpoint | undefined;
}

/** As deploy/envoy has it where that costs or saves time: only what a stage reads is sent, no access log to a file. */
export function startBenchEnvoy({
  authorizer,
  httpDoor,
  upstreamPort,
  limiter,
}: GatewayOptions): Promise<Gateway> {
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
        ...(limiter !== undefined && { rateLimit: { timeoutMs: 10_000 } }),
      });
      const plain = withoutFilters(bootstrap, authorizer === undefined);
      return (limiter === undefined ? plain : withLimiter(plain, limiter)) as object;
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

/** Another rate limit service than the authorizer's own, and one descriptor of one entry for it. */
function withLimiter(node: unknown, limiter: Endpoint): unknown {
  if (Array.isArray(node)) return node.map((item: unknown) => withLimiter(item, limiter));
  if (typeof node !== 'object' || node === null) return node;
  const changed = Object.entries(node).map(([key, value]: [string, unknown]) => {
    if (key === 'rate_limit_service') return [key, limiterService] as const;
    if (key === 'rate_limits') return [key, [{ actions: [userAction] }]] as const;
    if (key === 'clusters')
      return [key, [...(value as readonly object[]), cluster('limiter', limiter, true)]] as const;
    return [key, withLimiter(value, limiter)] as const;
  });
  return Object.fromEntries(changed);
}

const limiterService = {
  transport_api_version: 'V3',
  grpc_service: { envoy_grpc: { cluster_name: 'limiter' } },
};

const userAction = {
  metadata: {
    descriptor_key: 'user',
    metadata_key: { key: 'envoy.filters.http.ext_authz', path: [{ key: 'user' }] },
  },
};

function nameOf(node: unknown): unknown {
  return typeof node === 'object' && node !== null && 'name' in node ? node.name : undefined;
}
