import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { LimitsDocument } from '../policy/document.ts';
import { ConfigMistakes } from './config-mistakes.ts';
import { type ConfigNeeds, defaultAudience } from './config-rules.ts';
import type { ConfigSections } from './config-schema.ts';
import { readConfigText } from './config-text.ts';
import { resolveRegistrarPaths } from './registrar-config.ts';
import { validateConfig } from './validate-config.ts';

type Frozen<T> = T extends readonly (infer Entry)[]
  ? readonly Frozen<Entry>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T;

type Section<Name extends keyof ConfigSections> = ConfigSections[Name];

/** Where the policy document stands. */
export type PolicySource =
  | { readonly kind: 'file'; readonly path: string }
  /** Without a namespace: the one that this process runs in. */
  | { readonly kind: 'configMap'; readonly namespace: string | undefined; readonly name: string };

/** `host:port`, taken apart; an IPv6 address without its brackets. */
export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

/** One server, a Redis Cluster by some of its nodes, or the master that sentinels name. */
export type RedisPlace =
  /** `redis://host:port/db`, or `rediss:` for TLS; never with a user or a password. */
  | { readonly kind: 'single'; readonly url: string }
  | { readonly kind: 'cluster'; readonly nodes: readonly RedisNode[] }
  | {
      readonly kind: 'sentinel';
      readonly name: string;
      readonly sentinels: readonly RedisNode[];
      /** Of the sentinels; the servers have their own. */
      readonly usernameFile: string | undefined;
      readonly passwordFile: string | undefined;
    };

/** How to reach Redis, and what keys the names of its counters. */
export interface RedisConfig {
  readonly place: RedisPlace;
  readonly tls: Frozen<NonNullable<Section<'redis'>['tls']>> | undefined;
  readonly usernameFile: string | undefined;
  readonly passwordFile: string | undefined;
  readonly keySecretFile: string;
  readonly commandTimeoutMs: number;
}

export interface PolicyConfig {
  readonly source: PolicySource;
  /** Name of a tier; checked against the policy document. */
  readonly defaultTier: string | undefined;
  readonly defaultLimits: LimitsDocument;
}

/** The process file, valid as a whole and frozen. Durations are `…Ms`, paths of files absolute. */
export interface Config extends Frozen<Omit<ConfigSections, 'identity' | 'model' | 'policy' | 'redis'>> {
  readonly identity: Frozen<Section<'identity'>> & { readonly audience: string };
  readonly model: Frozen<Omit<Section<'model'>, 'template' | 'header'>> & {
    /** Used where `from` is `path`. */
    readonly template: string;
    /** Set exactly where `from` is `header`. */
    readonly header: string | undefined;
  };
  readonly policy: PolicyConfig;
  /** Set exactly where `limits.store` is `redis`. */
  readonly redis: RedisConfig | undefined;
}

export interface ConfigTextOptions {
  /** Name of the text in messages. */
  readonly file: string;
  /** Folder from which relative paths of files are meant. */
  readonly folder: string;
  readonly needs?: ConfigNeeds;
}

/** Text of a process file → Config. Throws ConfigMistakes with every mistake at once. */
export function parseConfig(text: string, options: ConfigTextOptions): Config {
  const read = readConfigText(text);
  if (read.mistakes.length > 0) throw new ConfigMistakes(options.file, read.mistakes);
  const validated = validateConfig(read, options.needs);
  if (!validated.valid) throw new ConfigMistakes(options.file, validated.mistakes);
  return freeze(configFrom(validated.sections, (path) => resolve(options.folder, path)));
}

/** The process file at a path → Config. Throws ConfigMistakes, also when it can not be read. */
export function loadConfig(path: string, needs: ConfigNeeds = {}): Config {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown fault';
    throw new ConfigMistakes(path, [{ path: '', message: `can not be read (${code})` }]);
  }
  return parseConfig(text, { file: path, folder: dirname(resolve(path)), needs });
}

const defaultTemplate = '/{namespace}/{model}/';
const defaultPolicyName = 'tier-to-group-mapping';

function configFrom(sections: ConfigSections, absolute: (path: string) => string): Config {
  const { listeners, identity, model, policy, kubernetes, issuer } = sections;
  const maybe = (path: string | undefined) => (path === undefined ? undefined : absolute(path));
  const { tls } = listeners.grpc;
  const { tls: consoleTls } = listeners.console;
  return {
    ...sections,
    listeners: {
      ...listeners,
      grpc: {
        ...listeners.grpc,
        tls: tls && { cert: absolute(tls.cert), key: absolute(tls.key), clientCa: maybe(tls.clientCa) },
      },
      console: {
        ...listeners.console,
        tls: consoleTls && { cert: absolute(consoleTls.cert), key: absolute(consoleTls.key) },
      },
    },
    identity: { ...identity, audience: identity.audience ?? defaultAudience(sections.instance) },
    model: { ...model, template: model.template ?? defaultTemplate, header: model.header },
    policy: {
      source:
        policy.file === undefined
          ? {
              kind: 'configMap',
              namespace: policy.configMap?.namespace,
              name: policy.configMap?.name ?? defaultPolicyName,
            }
          : { kind: 'file', path: absolute(policy.file) },
      defaultTier: policy.defaultTier,
      defaultLimits: policy.defaultLimits,
    },
    redis: redisFrom(sections, maybe),
    registrar: sections.registrar && resolveRegistrarPaths(sections.registrar, absolute),
    kubernetes: { ...kubernetes, kubeconfig: maybe(kubernetes.kubeconfig) },
    issuer: { ...issuer, modelsFile: maybe(issuer.modelsFile) },
  };
}

function redisFrom(
  { limits, redis }: ConfigSections,
  maybe: (path: string | undefined) => string | undefined,
): RedisConfig | undefined {
  const keySecretFile = maybe(redis.keySecretFile);
  const place = redisPlace(redis, maybe);
  // The rules have seen to both where the store is Redis.
  if (limits.store !== 'redis' || place === undefined || keySecretFile === undefined) return undefined;
  return {
    place,
    tls: redis.tls && {
      ...redis.tls,
      ca: maybe(redis.tls.ca),
      cert: maybe(redis.tls.cert),
      key: maybe(redis.tls.key),
    },
    usernameFile: maybe(redis.usernameFile),
    passwordFile: maybe(redis.passwordFile),
    keySecretFile,
    commandTimeoutMs: redis.commandTimeoutMs,
  };
}

function redisPlace(
  { url, cluster, sentinel }: ConfigSections['redis'],
  maybe: (path: string | undefined) => string | undefined,
): RedisPlace | undefined {
  if (url !== undefined) return { kind: 'single', url };
  if (cluster !== undefined) return { kind: 'cluster', nodes: cluster.map(redisNode) };
  if (sentinel === undefined) return undefined;
  return {
    kind: 'sentinel',
    name: sentinel.name,
    sentinels: sentinel.nodes.map(redisNode),
    usernameFile: maybe(sentinel.usernameFile),
    passwordFile: maybe(sentinel.passwordFile),
  };
}

function redisNode(text: string): RedisNode {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) freeze(inner);
  return Object.freeze(value);
}
