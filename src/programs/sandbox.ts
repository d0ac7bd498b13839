import { parseArgs } from 'node:util';
import { createCheckClient } from '../envoy/check-client.ts';
import { createFixedConnection } from '../kubernetes/connection.ts';
import type { Policy } from '../policy/policy.ts';
import { parseConfig } from '../process/config.ts';
import { currentProcess } from '../process/current-process.ts';
import { createEvents } from '../process/events.ts';
import { createLog } from '../process/log.ts';
import { createLogSink } from '../process/log-sink.ts';
import { readEnvironment } from '../process/environment.ts';
import type { Lifecycle } from '../process/lifecycle.ts';
import { runProgram } from '../process/run-program.ts';
import { findEnvoy, startEnvoyProcess } from '../sandbox/envoy-process.ts';
import { createGateway } from '../sandbox/gateway.ts';
import { createKubernetesApi, type KubernetesApi } from '../sandbox/kubernetes-api/server.ts';
import { createModelServer } from '../sandbox/model-server.ts';
import { issueExpiredToken, ownUsers, sandboxPolicy, sandboxUsers, seedCluster } from '../sandbox/seed.ts';
import { startText } from '../sandbox/start-text.ts';
import { createSecret } from '../secret.ts';
import { startAuthorizer } from './authorizer.ts';
import { startIssuer } from './issuer.ts';
import { parsePolicyText, readPolicyFile } from './load-policy.ts';
import { exitCode, type Program, type ProgramIo } from './program.ts';
import { exitCodeOf, type ServerContext } from './run-server.ts';

/** `tiergate sandbox`: the whole system on one machine, on loopback only, with nothing kept. */
export const sandbox: Program = async (args, io) => {
  try {
    const options = readOptions(args);
    const sink = createLogSink({ stream: currentProcess.stdout, maxBufferedBytes: 4_000_000, now: Date.now });
    // Warnings only, unless asked: the start text is what is to be read.
    const level = readEnvironment(io.env).logLevel ?? 'warn';
    const log = createLog({ level, write: sink.write, now: Date.now });
    const events = createEvents(log);
    await runProgram({
      program: (lifecycle) =>
        start(options, { lifecycle, log, events, droppedLogLines: sink.droppedLines }, io),
      events,
      stopTimeoutMs: 5_000,
      flush: sink.flush,
      host: currentProcess,
      now: () => performance.now(),
    });
    return exitCode.done;
  } catch (error) {
    return exitCodeOf(error, io);
  }
};

interface SandboxOptions {
  readonly gatewayPort: number;
  readonly grpcPort: number;
  readonly useEnvoy: boolean;
  readonly policyFile: string | undefined;
  /** Flags whose listener is still to be built. */
  readonly notBound: readonly string[];
}

function readOptions(args: readonly string[]): SandboxOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      'gateway-port': { type: 'string', default: '8000' },
      'grpc-port': { type: 'string', default: '9090' },
      'http-port': { type: 'string' },
      'console-port': { type: 'string' },
      'no-envoy': { type: 'boolean', default: false },
      policy: { type: 'string' },
    },
  });
  return {
    gatewayPort: portOf('gateway-port', values['gateway-port']),
    grpcPort: portOf('grpc-port', values['grpc-port']),
    useEnvoy: !values['no-envoy'],
    policyFile: values.policy,
    notBound: (['http-port', 'console-port'] as const).filter((flag) => {
      const value = values[flag];
      return value !== undefined && portOf(flag, value) >= 0;
    }),
  };
}

function portOf(flag: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw Object.assign(new TypeError(`--${flag} must be a port from 0 (any) to 65535, not ${text}`), {
    code: 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE',
  });
}

/** As an installation has it, but for the ports, and counters in memory. */
function configText(grpcPort: number): string {
  return `
listeners: {grpc: {address: "127.0.0.1:${grpcPort}"}, ops: {address: "127.0.0.1:0"}}
limits: {store: memory}
check: {deadline: 800ms}
issuer: {listeners: {http: {address: "127.0.0.1:0"}, ops: {address: "127.0.0.1:0"}}}
`;
}

type SandboxContext = Omit<ServerContext, 'config'>;

/** Below which the sandbox is of no use: what Envoy gives the authorizer in an installation. */
const checkTimeoutMs = 1_000;

async function start(options: SandboxOptions, context: SandboxContext, io: ProgramIo): Promise<void> {
  const { lifecycle } = context;
  const { policyFile: path } = options;
  const builtIn = parseConfig(configText(options.grpcPort), { file: 'sandbox', folder: '.' });
  const config =
    path === undefined
      ? builtIn
      : { ...builtIn, policy: { ...builtIn.policy, source: { kind: 'file' as const, path } } };
  const serverContext = { ...context, config };
  const policy: Policy =
    path === undefined
      ? parsePolicyText('sandbox policy', sandboxPolicy, config)
      : readPolicyFile(path, config);

  const { api, url: kubernetesUrl } = await startCluster(lifecycle, config.instance, policy);
  const connectAs = ({ token }: { readonly token: string }) =>
    createFixedConnection({ server: kubernetesUrl, token: createSecret(token), namespace: 'tiergate' });
  const modelPort = await startPart(lifecycle, 'model', createModelServer({ chunkDelayMs: 30 }));
  const authorizer = await startAuthorizer(serverContext, {
    connection: connectAs(ownUsers.authorizer),
    ...(path === undefined && { policy }),
    drainDelayMs: 0,
  });
  // A tier that is new gets what installation would have made for it.
  authorizer.policy.onChange(({ tiers }) =>
    seedCluster(
      api,
      config.instance,
      tiers.map(({ name }) => name),
    ),
  );
  const issuer = await startIssuer(serverContext, {
    connection: connectAs(ownUsers.issuer),
    policy: authorizer.policy.current,
    consume: authorizer.consume,
  });

  const gateway = await startGateway(options, {
    lifecycle,
    grpcAddress: authorizer.grpcAddress,
    modelPort,
    issuerPort: Number(new URL(issuer.url).port),
    path: io.env['PATH'],
  });
  io.out(
    startText({
      gatewayUrl: `http://127.0.0.1:${gateway.port}`,
      gateway: gateway.words,
      grpcAddress: authorizer.grpcAddress,
      opsUrl: authorizer.opsUrl,
      kubernetesUrl,
      expiredToken: await issueExpiredToken(api, {
        instance: config.instance,
        audience: config.identity.audience,
        tier: policy.tiers[0]?.name ?? 'free',
      }),
      notes: [
        ...policy.warnings,
        ...options.notBound.map(
          (flag) => `--${flag} is accepted; its listener is not built yet and not bound`,
        ),
      ],
    }),
  );
}

async function startCluster(
  lifecycle: Lifecycle,
  instance: string,
  policy: Policy,
): Promise<{ readonly api: KubernetesApi; readonly url: string }> {
  const users = [...sandboxUsers, ownUsers.authorizer, ownUsers.issuer];
  const api = createKubernetesApi({ users });
  seedCluster(
    api,
    instance,
    policy.tiers.map(({ name }) => name),
  );
  const { url } = await lifecycle.start({
    name: 'cluster',
    start: () => api.start(),
    stop: () => api.stop(),
  });
  return { api, url };
}

interface Startable {
  readonly start: () => Promise<{ readonly port: number }>;
  readonly stop: () => Promise<void>;
}

async function startPart(lifecycle: Lifecycle, name: string, part: Startable): Promise<number> {
  const { port } = await lifecycle.start({ name, start: () => part.start(), stop: () => part.stop() });
  return port;
}

interface GatewayParts {
  readonly lifecycle: Lifecycle;
  readonly grpcAddress: string;
  readonly modelPort: number;
  readonly issuerPort: number;
  readonly path: string | undefined;
}

/** A real Envoy where there is one on the PATH, else the built-in gateway, which asks Check as Envoy does. */
async function startGateway(
  { gatewayPort, useEnvoy }: SandboxOptions,
  { lifecycle, grpcAddress, modelPort, issuerPort, path }: GatewayParts,
): Promise<{ readonly port: number; readonly words: string }> {
  const envoy = useEnvoy ? findEnvoy(path) : undefined;
  if (envoy !== undefined) {
    const authorizerPort = Number(grpcAddress.slice(grpcAddress.lastIndexOf(':') + 1));
    const { port } = await lifecycle.start({
      name: 'gateway',
      start: () => startEnvoyProcess({ envoy, port: gatewayPort, authorizerPort, modelPort, issuerPort }),
      stop: (started) => started.stop(),
    });
    return { port, words: `Envoy, ${envoy}` };
  }
  const client = createCheckClient(grpcAddress);
  const gateway = createGateway({ ask: client.ask, checkTimeoutMs, modelPort, issuerPort });
  const port = await lifecycle.start({
    name: 'gateway',
    start: () => gateway.listen(gatewayPort),
    async stop() {
      client.close();
      await gateway.close();
    },
  });
  return { port, words: useEnvoy ? 'built in: there is no envoy on the PATH' : 'built in' };
}
