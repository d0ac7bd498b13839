import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
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
import { createKubernetesApi, type KubernetesApi } from '../sandbox/kubernetes-api/server.ts';
import { createModelServer } from '../sandbox/model-server.ts';
import {
  issueExpiredToken,
  ownUsers,
  sandboxPolicy,
  sandboxUsers,
  seedCluster,
  publishModels,
} from '../sandbox/seed.ts';
import { startText } from '../sandbox/start-text.ts';
import { createSecret } from '../secret.ts';
import { startAuthorizer } from './authorizer.ts';
import { startIssuer } from './issuer.ts';
import { parsePolicyText, readPolicyFile } from './load-policy.ts';
import { exitCode, type Program, type ProgramIo } from './program.ts';
import { exitCodeOf, type ServerContext } from './run-server.ts';
import { type SandboxGateway, startGateway } from './start-gateway.ts';

/** `tiergate sandbox`: the whole system on one machine, on loopback only, with nothing kept. */
export const sandbox: Program = async (args, io) => {
  try {
    const options = readOptions(args);
    const sink = createLogSink({ stream: currentProcess.stdout, maxBufferedBytes: 4_000_000, now: Date.now });
    // Warnings only, unless asked: the start text is what is to be read.
    const level = readEnvironment(io.env).logLevel ?? 'warn';
    const log = createLog({ level, write: sink.write, now: Date.now });
    const events = createEvents(log);
    let code: number = exitCode.done;
    await runProgram({
      async program(lifecycle) {
        const gateway = await start(
          options,
          { lifecycle, log, events, droppedLogLines: sink.droppedLines },
          io,
        );
        gateway.onLost(() => {
          io.err('Envoy has ended, and with it the gateway');
          code = exitCode.failed;
          void lifecycle.stop('gateway_ended');
        });
      },
      events,
      stopTimeoutMs: 5_000,
      flush: sink.flush,
      host: currentProcess,
      now: () => performance.now(),
    });
    return code;
  } catch (error) {
    const code = exitCodeOf(error, io);
    if (code === exitCode.unavailable) {
      io.err('--gateway-port, --grpc-port and --http-port choose other ports, 0 any free one');
    }
    return code;
  }
};

interface SandboxOptions {
  readonly gatewayPort: number;
  readonly grpcPort: number;
  readonly httpPort: number;
  readonly consolePort: number;
  readonly useEnvoy: boolean;
  readonly policyFile: string | undefined;
}

function readOptions(args: readonly string[]): SandboxOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      'gateway-port': { type: 'string', default: '8000' },
      'grpc-port': { type: 'string', default: '9090' },
      'http-port': { type: 'string', default: '9092' },
      'console-port': { type: 'string', default: '8001' },
      'no-envoy': { type: 'boolean', default: false },
      policy: { type: 'string' },
    },
  });
  return {
    gatewayPort: portOf('gateway-port', values['gateway-port']),
    grpcPort: portOf('grpc-port', values['grpc-port']),
    httpPort: portOf('http-port', values['http-port']),
    consolePort: portOf('console-port', values['console-port']),
    useEnvoy: !values['no-envoy'],
    policyFile: values.policy,
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
function configText({ grpcPort, httpPort, consolePort }: SandboxOptions): string {
  return `
listeners:
  grpc: {address: "127.0.0.1:${grpcPort}"}
  http: {address: "127.0.0.1:${httpPort}"}
  ops: {address: "127.0.0.1:0"}
  console: {address: "127.0.0.1:${consolePort}"}
limits: {store: memory}
check: {deadline: 800ms}
issuer: {listeners: {http: {address: "127.0.0.1:0"}, ops: {address: "127.0.0.1:0"}}}
`;
}

type SandboxContext = Omit<ServerContext, 'config'>;

async function start(
  options: SandboxOptions,
  context: SandboxContext,
  io: ProgramIo,
): Promise<SandboxGateway> {
  const { lifecycle } = context;
  const { policyFile: path } = options;
  const builtIn = parseConfig(configText(options), { file: 'sandbox', folder: '.' });
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
  authorizer.policy.onChange(({ tiers }) =>
    io.out(`policy: the new document is in force, tiers ${tiers.map(({ name }) => name).join(', ')}`),
  );
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
    counters: authorizer.counters,
  });

  const gateway = await startGateway({
    port: options.gatewayPort,
    useEnvoy: options.useEnvoy,
    path: io.env['PATH'],
    lifecycle,
    grpcAddress: authorizer.grpcAddress,
    modelPort,
    issuerPort: Number(new URL(issuer.url).port),
  });
  const gatewayUrl = `http://127.0.0.1:${gateway.port}`;
  publishModels(api, gatewayUrl);
  io.out(
    startText({
      gatewayUrl,
      gateway: gateway.words,
      grpcAddress: authorizer.grpcAddress,
      httpAddress: authorizer.httpAddress ?? '',
      opsUrl: authorizer.opsUrl,
      consoleUrl: authorizer.consoleUrl,
      tiergate: `node ${relative('', fileURLToPath(new URL('../main.js', import.meta.url)))}`,
      kubernetesUrl,
      expiredToken: await issueExpiredToken(api, {
        instance: config.instance,
        audience: config.identity.audience,
        tier: policy.tiers[0]?.name ?? 'free',
      }),
      policy,
      notes: [
        ...policy.warnings,
        ...(authorizer.consoleUrl === undefined
          ? [`the console is not there: port ${options.consolePort} is taken; --console-port chooses another`]
          : []),
      ],
    }),
  );
  return gateway;
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
