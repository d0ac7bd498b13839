import { readFileSync } from 'node:fs';
import type { RedisConfig, RedisPlace } from '../process/config.ts';
import { readSecretFile } from '../process/secret-file.ts';
import type { RedisTarget } from '../redis/client.ts';
import { createRedisConnection, type RedisConnection, type RedisState } from '../redis/connection.ts';
import { createSecret, type Secret } from '../secret.ts';

type Warn = (words: string) => void;

export interface ConnectRedisOptions {
  readonly redis: RedisConfig;
  /** About files that should be kept better. */
  readonly warn: Warn;
  readonly onStateChange: (state: RedisState) => void;
}

/** The process file's Redis → a connection that is being made. Throws where a file can not be read. */
export function connectRedis({ redis, warn, onStateChange }: ConnectRedisOptions): RedisConnection {
  const { tls, usernameFile, passwordFile, commandTimeoutMs } = redis;
  return createRedisConnection({
    target: targetFrom(redis.place, warn),
    ...optional('username', usernameFile, warn),
    ...optional('password', passwordFile, warn),
    ...(tls !== undefined && {
      tls: {
        ...(tls.ca !== undefined && { ca: readFileSync(tls.ca, 'utf8') }),
        ...(tls.cert !== undefined && { cert: readFileSync(tls.cert, 'utf8') }),
        ...(tls.key !== undefined && { key: createSecret(readFileSync(tls.key, 'utf8')) }),
      },
    }),
    now: Date.now,
    patienceMs: commandTimeoutMs,
    onStateChange,
  });
}

function targetFrom(place: RedisPlace, warn: Warn): RedisTarget {
  if (place.kind !== 'sentinel') return place;
  const { kind, name, sentinels, usernameFile, passwordFile } = place;
  return {
    kind,
    name,
    sentinels,
    ...optional('sentinelUsername', usernameFile, warn),
    ...optional('sentinelPassword', passwordFile, warn),
  };
}

function optional<Name extends string>(
  name: Name,
  path: string | undefined,
  warn: Warn,
): { readonly [Key in Name]?: Secret } {
  if (path === undefined) return {};
  return { [name]: readSecretFile(path, warn) } as { readonly [Key in Name]: Secret };
}
