import { isIP } from 'node:net';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Secret } from '../secret.ts';
import { isReadonlyReplica } from './fault.ts';

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

/** Where the counters are: one server, the master that sentinels name, or a Redis Cluster. */
export type RedisTarget =
  | {
      readonly kind: 'single';
      /** `redis://host:port/db`, or `rediss:` for TLS. User and password have options of their own. */
      readonly url: string;
    }
  | {
      readonly kind: 'sentinel';
      /** The name of the master's group. */
      readonly name: string;
      readonly sentinels: readonly RedisAddress[];
      readonly sentinelUsername?: Secret;
      readonly sentinelPassword?: Secret;
    }
  | {
      readonly kind: 'cluster';
      /** Nodes to ask first; the others are learnt from them. */
      readonly nodes: readonly RedisAddress[];
    };

/** PEM texts. Without `ca`, the certificate authorities that Node.js brings are trusted. */
export interface RedisTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: Secret;
}

export interface RedisClientOptions {
  readonly target: RedisTarget;
  /** Given: TLS also where the target does not say so. */
  readonly tls?: RedisTls;
  readonly username?: Secret;
  readonly password?: Secret;
  /** Without any reply for that long while one is due, the connection is given up, in milliseconds. */
  readonly stallTimeoutMs: number;
}

export type RedisClient = Redis | Cluster;

/** Before reconnect attempts, at most; ioredis' own choice grows to 5 s, long after the server is back. */
const maxReconnectDelayMs = 200;
const connectTimeoutMs = 1000;

/** Starts to connect at once. Throws TypeError for a target that nothing can be made of. */
export function createRedisClient(options: RedisClientOptions): RedisClient {
  const { target } = options;
  switch (target.kind) {
    case 'single':
      return new Redis({
        ...serverOptions(options),
        ...singleOptions(target.url, options.tls),
        retryStrategy,
      });
    case 'sentinel':
      return new Redis({ ...serverOptions(options), ...sentinelOptions(target, options.tls), retryStrategy });
    case 'cluster':
      return createCluster(target.nodes, options);
    default:
      return target satisfies never;
  }
}

/**
 * A command whose reply got lost may have been charged, and a caller that was told "could not tell" must not
 * be charged later: so nothing is ever queued for a connection to come, and nothing is sent twice.
 */
function serverOptions({ username, password, stallTimeoutMs }: RedisClientOptions) {
  return {
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    connectTimeout: connectTimeoutMs,
    socketTimeout: stallTimeoutMs,
    disconnectTimeout: 200,
    // The ready check waits for this or a second, whichever is less, while the server reads its files.
    maxLoadingRetryTime: 100,
    // 1: reconnect, and do not send the command again.
    reconnectOnError: (error) => (isReadonlyReplica(error) ? 1 : false),
    ...(username !== undefined && { username: username.reveal() }),
    ...(password !== undefined && { password: password.reveal() }),
  } as const satisfies RedisOptions;
}

function singleOptions(text: string, tls: RedisTls | undefined) {
  if (!URL.canParse(text)) throw new TypeError('the URL of Redis can not be read');
  const url = new URL(text);
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw new TypeError('the URL of Redis must begin with redis:// or rediss://');
  }
  // Not quoted here: whoever wrote a password there would find it in a log.
  if (url.username !== '' || url.password !== '' || url.search !== '') {
    throw new TypeError('user, password and options do not belong into the URL of Redis');
  }
  const [, db = ''] = /^\/?(\d*)$/.exec(url.pathname) ?? [];
  if (url.pathname.length > db.length + 1)
    throw new TypeError('the path of a Redis URL is a database number');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return {
    host,
    port: url.port === '' ? 6379 : Number(url.port),
    db: Number(db),
    ...(url.protocol === 'rediss:' || tls !== undefined ? { tls: tlsOptions(tls ?? {}, host) } : {}),
  } satisfies RedisOptions;
}

function sentinelOptions(target: Extract<RedisTarget, { kind: 'sentinel' }>, tls: RedisTls | undefined) {
  const { sentinelUsername, sentinelPassword } = target;
  return {
    name: target.name,
    sentinels: target.sentinels.map(({ host, port }) => ({ host, port })),
    // Without it a master that was demoted is noticed only by its READONLY.
    failoverDetector: true,
    sentinelCommandTimeout: connectTimeoutMs,
    sentinelRetryStrategy: retryStrategy,
    ...(sentinelUsername !== undefined && { sentinelUsername: sentinelUsername.reveal() }),
    ...(sentinelPassword !== undefined && { sentinelPassword: sentinelPassword.reveal() }),
    ...(tls !== undefined && {
      tls: tlsOptions(tls),
      sentinelTLS: tlsOptions(tls),
      enableTLSForSentinelMode: true,
    }),
  } satisfies RedisOptions;
}

function createCluster(nodes: readonly RedisAddress[], options: RedisClientOptions): Cluster {
  const { enableOfflineQueue: _perNode, ...redisOptions } = serverOptions(options);
  return new Cluster(
    nodes.map(({ host, port }) => ({ host, port })),
    {
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      clusterRetryStrategy: retryStrategy,
      clusterNodeRetryStrategy: retryStrategy,
      slotsRefreshTimeout: connectTimeoutMs,
      // Otherwise only a MOVED would tell of a failover, and a node that is gone sends none.
      slotsRefreshInterval: 1000,
      // A lost connection would send the command again; MOVED and ASK may, since nothing ran there.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      maxRedirections: 4,
      redisOptions: {
        ...redisOptions,
        ...(options.tls !== undefined && { tls: tlsOptions(options.tls) }),
      },
    },
  );
}

interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

function tlsOptions({ ca, cert, key }: RedisTls, host?: string): TlsOptions {
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key: key.reveal() }),
    // Servers with several names choose their certificate by this; an address is not allowed in it.
    ...(host !== undefined && isIP(host) === 0 && { servername: host }),
  };
}

/** Soon at first, since a restart takes no longer; never in step with the other processes. */
function retryStrategy(times: number): number {
  const delayMs = Math.min(10 * 2 ** Math.min(times, 10), maxReconnectDelayMs);
  return delayMs * (0.5 + Math.random() / 2);
}
