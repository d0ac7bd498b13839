import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gatewayBootstrap } from './envoy-bootstrap.ts';

export interface EnvoyProcessOptions {
  /** Path of the program. */
  readonly envoy: string;
  /** On 127.0.0.1; 0 takes a free one. */
  readonly port: number;
  readonly authorizerPort: number;
  readonly modelPort: number;
  readonly issuerPort: number;
}

export interface EnvoyProcess {
  readonly port: number;
  /** Resolves when it has ended, told to or not. */
  readonly ended: Promise<void>;
  readonly stop: () => Promise<void>;
}

const startTimeoutMs = 4_000;
const stopTimeoutMs = 2_000;

/** The Envoy on the PATH, if there is one: a file that may be run. An empty entry means no folder here. */
export function findEnvoy(path: string | undefined): string | undefined {
  const folders = (path ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, 'envoy')).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** An Envoy that did not get ready in time: not for this machine, too old for the configuration, ... */
export class EnvoyStartFault extends Error {
  constructor(said: string) {
    super(said === '' ? 'it was not ready in time' : said);
    this.name = 'EnvoyStartFault';
  }
}

/**
 * A real Envoy as the sandbox's gateway. Rejects with EnvoyStartFault, which holds the end of what it said, and as
 * `listen` does when the port can not be had.
 */
export async function startEnvoyProcess(options: EnvoyProcessOptions): Promise<EnvoyProcess> {
  // Envoy itself would share a port with another Envoy, and say nothing.
  const port = await listenablePort(options.port);
  const adminPort = await listenablePort(0);
  const folder = await mkdtemp(join(tmpdir(), 'tiergate-sandbox-'));
  const bootstrap = gatewayBootstrap(
    { port, adminPort, accessLogPath: '/dev/null' },
    {
      authorizer: { port: options.authorizerPort },
      model: { port: options.modelPort },
      issuer: { port: options.issuerPort },
      accessLog: {},
      tokens: 'access-log',
    },
  );
  const file = join(folder, 'envoy.json');
  await writeFile(file, JSON.stringify(bootstrap));
  const args = ['--config-path', file, '--concurrency', '1', '--log-level', 'error', '--disable-hot-restart'];
  const child = spawn(options.envoy, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const said = collect(child);
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });

  async function stop(): Promise<void> {
    child.kill('SIGTERM');
    const force = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
    await gone;
    clearTimeout(force);
    await rm(folder, { recursive: true, force: true });
  }

  if (!(await isLive(adminPort, child))) {
    await stop();
    throw new EnvoyStartFault(said());
  }
  return {
    port,
    ended: gone,
    stop,
  };
}

async function isLive(adminPort: number, child: ChildProcess): Promise<boolean> {
  const endsAtMs = performance.now() + startTimeoutMs;
  while (performance.now() < endsAtMs && child.exitCode === null) {
    const signal = AbortSignal.timeout(500);
    const isReady = await fetch(`http://127.0.0.1:${adminPort}/ready`, { signal }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return true;
    await sleep(50);
  }
  return false;
}

const maxSaid = 2_000;

function collect(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-maxSaid);
  });
  child.on('error', (error) => {
    text = error.message;
  });
  return () => text.trim();
}

/** The port, or a free one for 0. Rejects as `listen` does when it can not be had. */
function listenablePort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : wanted;
      server.close(() => resolve(port));
    });
  });
}
