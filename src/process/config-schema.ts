import { z } from 'zod';
import { limitsSchema } from '../policy/document.ts';
import {
  duration,
  filePath,
  flag,
  headerName,
  hostName,
  label,
  listenAddress,
  listOf,
  network,
  objectName,
  oneOf,
  pathPrefix,
  socketAccess,
  tcpAddress,
  text,
  wholeNumber,
} from './config-fields.ts';
import { issuerSchema } from './issuer-config.ts';
import { registrarSchema } from './registrar-config.ts';

/**
 * The process file: one strict schema. A section turns its durations into numbers named `…Ms`; what concerns
 * several sections stands in config-rules.ts. Every key is
 * described in docs/configuration.md (a test compares).
 */

const server = z.strictObject({ cert: filePath, key: filePath, clientCa: filePath.optional() }).optional();

const listeners = z
  .strictObject({
    grpc: z
      .strictObject({
        address: listenAddress.prefault('0.0.0.0:9090'),
        socket: socketAccess,
        tls: server,
        transport: oneOf('tiergate', 'grpc-js').default('tiergate'),
        trust: listOf(network).default(['127.0.0.0/8', '::1']),
      })
      .prefault({}),
    /** There where it is written. */
    http: z
      .strictObject({
        address: listenAddress.prefault('0.0.0.0:9092'),
        socket: socketAccess,
        profile: oneOf('envoy', 'istio', 'nginx', 'caddy', 'traefik').default('envoy'),
        trust: listOf(network).default(['127.0.0.0/8', '::1']),
      })
      .optional(),
    ops: z.strictObject({ address: tcpAddress.prefault('0.0.0.0:9091') }).prefault({}),
    console: z
      .strictObject({
        enabled: flag().default(true),
        address: tcpAddress.prefault('127.0.0.1:9093'),
        hosts: listOf(hostName).default([]),
        tls: z.strictObject({ cert: filePath, key: filePath }).optional(),
        registrar: text("the URL of a registrar's ops port", /^https?:\/\/[^\s@/]+\/?$/).optional(),
      })
      .prefault({}),
  })
  .prefault({});

const credential = z
  .strictObject({
    headers: listOf(headerName, 1).prefault(['authorization']),
    opaqueTokens: flag().default(false),
    jwks: flag().default(true),
  })
  .prefault({});

const identity = z
  .strictObject({
    audience: text('an audience').optional(),
    ttl: duration(0, 600_000, 'from 0s (asks for every request) to 10m').prefault('60s'),
    negativeTtl: duration(0, 60_000, 'from 0s to 1m').prefault('2s'),
    staleIfError: duration(0, 3_600_000, 'from 0s (never) to 1h').prefault('5m'),
    watchDownTtl: duration(0, 600_000, 'from 0s to 10m').prefault('10s'),
    maxEntries: wholeNumber(1, 10_000_000).default(100_000),
  })
  .transform(({ ttl, negativeTtl, staleIfError, watchDownTtl, ...rest }) => ({
    ...rest,
    ttlMs: ttl,
    negativeTtlMs: negativeTtl,
    staleIfErrorMs: staleIfError,
    watchDownTtlMs: watchDownTtl,
  }))
  .prefault({});

const access = z
  .strictObject({
    /** Empty for Kubernetes' core group. */
    group: text('an API group', /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$/).default('serving.kserve.io'),
    resource: text('a resource in the plural', /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/).default(
      'llminferenceservices',
    ),
    verb: text('a verb', /^[a-z]+$/).default('post'),
    allowTtl: duration(0, 600_000, 'from 0s (asks for every request) to 10m').prefault('60s'),
    denyTtl: duration(0, 60_000, 'from 0s to 1m').prefault('5s'),
    extraKeys: listOf(text('a key of user.extra')).default([]),
  })
  .transform(({ allowTtl, denyTtl, ...rest }) => ({ ...rest, allowTtlMs: allowTtl, denyTtlMs: denyTtl }))
  .prefault({});

const model = z
  .strictObject({
    from: oneOf('path', 'context', 'metadata', 'header').default('path'),
    template: text(
      'segments, of which one is {namespace} and one {model}',
      /^(?=.*\/\{namespace\}(?:\/|$))(?=.*\/\{model\}(?:\/|$))(?:\/(?:\{namespace\}|\{model\}|[A-Za-z0-9._~-]+))+\/?$/,
    ).optional(),
    header: headerName.optional(),
    public: listOf(pathPrefix).default(['/maas-api', '/v1/models']),
    identityOnly: listOf(pathPrefix).default([]),
    cors: flag().default(false),
  })
  .prefault({});

const reviews = z
  .strictObject({
    concurrency: wholeNumber(1, 10_000).default(64),
    perSecond: wholeNumber(1, 100_000).default(500),
    perSourcePerSecond: wholeNumber(1, 100_000).default(50),
    queue: wholeNumber(0, 1_000_000).default(1000),
    timeout: duration(50, 30_000, 'from 50ms to 30s').prefault('2s'),
  })
  .transform(({ timeout, ...rest }) => ({ ...rest, timeoutMs: timeout }))
  .prefault({});

const check = z
  .strictObject({ deadline: duration(10, 10_000, 'from 10ms to 10s').prefault('150ms') })
  .transform(({ deadline }) => ({ deadlineMs: deadline }))
  .prefault({});

const policy = z
  .strictObject({
    file: filePath.optional(),
    configMap: z
      .strictObject({ namespace: label.optional(), name: objectName.default('tier-to-group-mapping') })
      .optional(),
    defaultTier: label.optional(),
    defaultLimits: limitsSchema.prefault({ requests: [{ limit: 5, window: '2m' }] }),
  })
  .prefault({});

const limits = z
  .strictObject({
    store: oneOf('redis', 'memory').default('redis'),
    onStoreUnavailable: oneOf('local', 'deny', 'allow').default('local'),
    expectedReplicas: wholeNumber(1, 10_000).default(1),
    slotLease: duration(1000, 86_400_000, 'from 1s to 24h').prefault('15m'),
    reservationTtl: duration(10_000, 86_400_000, 'from 10s to 24h').prefault('10m'),
  })
  .transform(({ slotLease, reservationTtl, ...rest }) => ({
    ...rest,
    slotLeaseMs: slotLease,
    reservationTtlMs: reservationTtl,
  }))
  .prefault({});

/** The port has at most 65535 for a value. */
const redisNode = text(
  'host:port',
  /^(\[[0-9a-fA-F:.]+\]|[^\s:/@]+):(6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]\d{4}|\d{1,4})$/,
);

const redis = z
  .strictObject({
    url: z.string({ error: 'must be redis://host:port' }).optional(),
    cluster: listOf(redisNode, 1).optional(),
    sentinel: z
      .strictObject({
        name: text('the name of a master'),
        nodes: listOf(redisNode, 1),
        usernameFile: filePath.optional(),
        passwordFile: filePath.optional(),
      })
      .optional(),
    tls: z
      .strictObject({ ca: filePath.optional(), cert: filePath.optional(), key: filePath.optional() })
      .optional(),
    usernameFile: filePath.optional(),
    passwordFile: filePath.optional(),
    keySecretFile: filePath.optional(),
    commandTimeout: duration(1, 5000, 'from 1ms to 5s').prefault('50ms'),
  })
  .transform(({ commandTimeout, ...rest }) => ({ ...rest, commandTimeoutMs: commandTimeout }))
  .prefault({});

const kubernetes = z
  .strictObject({ kubeconfig: filePath.optional(), context: text('the name of a context').optional() })
  .prefault({});

const sample = z.strictObject({ sample: wholeNumber(2, 1_000_000) });

const log = z
  .strictObject({
    level: oneOf('debug', 'info', 'warn', 'error').default('info'),
    decisions: z
      .union([z.enum(['denials', 'all']), sample], {
        error: 'must be denials, all, or {sample: N} with N from 2 to 1000000',
      })
      .default('denials'),
    usage: flag().default(true),
  })
  .prefault({});

const metrics = z.strictObject({ users: flag().default(false) }).prefault({});

const tracing = z
  .strictObject({
    endpoint: text('the URL of an OTLP collector', /^https?:\/\/[^\s@]+$/).optional(),
    sampleRatio: z
      .number({ error: 'must be a number from 0 to 1' })
      .min(0, { error: 'must be a number from 0 to 1' })
      .max(1, { error: 'must be a number from 0 to 1' })
      .default(1),
  })
  .optional();

const instance = label
  .max(56, { error: 'must leave room for -tier- and a tier in a namespace of 63 characters: at most 56' })
  .refine((name) => !`${name}-`.includes('-tier-'), {
    error: 'must neither contain -tier- nor end in -tier: two instances could share a namespace',
  });

export const configSchema = z.strictObject({
  instance: instance.default('maas-default-gateway'),
  workers: wholeNumber(1, 64).default(1),
  listeners,
  credential,
  identity,
  access,
  model,
  reviews,
  check,
  policy,
  limits,
  redis,
  kubernetes,
  issuer: issuerSchema,
  registrar: registrarSchema.optional(),
  log,
  metrics,
  tracing,
});

/** What the schema makes of a process file, before the rules that concern several sections. */
export type ConfigSections = z.output<typeof configSchema>;
