/**
 * Which folder of src/ may import which (docs/architecture.md), said a second time so that the linter's
 * configuration has something to be held against.
 */

const verbs = ['check', 'issue', 'settle', 'policy', 'register'] as const;
const systems = ['envoy', 'http', 'kubernetes', 'redis', 'oidc', 'vault', 'ocm'] as const;
const below = [...systems, 'process', ...verbs] as const;

export const mayImport: Readonly<Record<string, readonly string[]>> = {
  policy: [],
  register: [],
  check: ['policy'],
  issue: ['check', 'policy'],
  settle: ['check', 'policy'],
  ...Object.fromEntries(systems.map((system) => [system, verbs])),
  process: verbs,
  sandbox: below,
  console: below,
  programs: [...below, 'sandbox', 'console'],
};

/** The folders that may import a library: those of the system that it speaks to, as a rule one. */
export const ownersOf: Readonly<Record<string, readonly string[]>> = {
  '@fastify/swagger': ['http'],
  '@fastify/type-provider-typebox': ['http'],
  fastify: ['http'],
  typebox: ['http'],
  'rate-limiter-flexible': ['http'],
  '@grpc/grpc-js': ['envoy'],
  '@grpc/proto-loader': ['envoy'],
  protobufjs: ['envoy'],
  '@kubernetes/client-node': ['kubernetes'],
  // The sandbox's cluster signs what the authorizer verifies.
  jose: ['kubernetes', 'sandbox'],
  ioredis: ['redis'],
  'lru-cache': ['check'],
  'prom-client': ['process'],
  '@opentelemetry/api': ['process'],
  '@opentelemetry/core': ['process'],
  '@opentelemetry/exporter-trace-otlp-http': ['process'],
  '@opentelemetry/resources': ['process'],
  '@opentelemetry/sdk-trace-base': ['process'],
  // A kubeconfig is YAML too.
  yaml: ['policy', 'process', 'kubernetes'],
  // A schema for whatever text comes from outside.
  zod: ['policy', 'process', 'oidc', 'vault', 'ocm'],
};
