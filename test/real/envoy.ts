import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { EnvoyPlace } from '../../src/sandbox/envoy-bootstrap.ts';
import { freePort } from './free-port.ts';
import { findParts } from './parts.ts';
import { type RunningProcess, startProcess } from './running-process.ts';

export interface EnvoyOptions {
  /** Gives the bootstrap (`envoy.config.bootstrap.v3.Bootstrap` as JSON); its admin must listen on `adminPort`. */
  readonly bootstrap: (place: EnvoyPlace) => object;
  /** Worker threads. Default 1. */
  readonly concurrency?: number;
  /** Default `warning`. `debug` writes headers, tokens included, into the log file. */
  readonly logLevel?: 'debug' | 'info' | 'warning';
}

export interface Envoy extends Omit<RunningProcess, 'logPath'> {
  readonly port: number;
  readonly url: string;
  readonly adminUrl: string;
  /** The value of one counter or gauge, such as `http.gateway.ext_authz.error`; 0 while Envoy does not know it. */
  readonly stat: (name: string) => Promise<number>;
  /** Whatever the access log's JSON lines say so far; a line appears within 100 ms of the end of its request. */
  readonly accessLog: () => readonly Readonly<Record<string, unknown>>[];
}

/** Ready when Envoy's admin says LIVE: its listeners are up, whether or not their upstreams are. */
export async function startEnvoy(options: EnvoyOptions): Promise<Envoy> {
  const directory = await mkdtemp(join(tmpdir(), 'tiergate-envoy-'));
  const place: EnvoyPlace = {
    port: await freePort(),
    adminPort: await freePort(),
    accessLogPath: join(directory, 'access.log'),
  };
  const adminUrl = `http://127.0.0.1:${place.adminPort}`;
  const bootstrapPath = join(directory, 'bootstrap.json');
  await writeFile(bootstrapPath, JSON.stringify(options.bootstrap(place)));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    const running = await startProcess({
      name: 'envoy',
      command: findParts().envoy,
      args: [
        '--config-path',
        bootstrapPath,
        '--concurrency',
        String(options.concurrency ?? 1),
        '--log-level',
        options.logLevel ?? 'warning',
        // No shared memory between the Envoys of one machine, so they need no base ids to tell them apart.
        '--disable-hot-restart',
        '--file-flush-interval-msec',
        '50',
      ],
      isReady: async (signal) => (await fetch(`${adminUrl}/ready`, { signal })).ok,
    });
    return {
      ...running,
      port: place.port,
      url: `http://127.0.0.1:${place.port}`,
      adminUrl,
      stat: (name) => readStat(adminUrl, name),
      accessLog: () => readAccessLog(place.accessLogPath),
      stop: async () => {
        await running.stop();
        await remove();
      },
    };
  } catch (cause) {
    await remove();
    throw cause;
  }
}

/** Reads `name: value` from the admin's plain list. */
async function readStat(adminUrl: string, name: string): Promise<number> {
  const answer = await fetch(`${adminUrl}/stats`, { signal: AbortSignal.timeout(5_000) });
  const prefix = `${name}: `;
  const line = (await answer.text()).split('\n').find((candidate) => candidate.startsWith(prefix));
  return line === undefined ? 0 : Number(line.slice(prefix.length));
}

function readAccessLog(path: string): readonly Readonly<Record<string, unknown>>[] {
  if (!existsSync(path)) return [];
  const whole = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return whole.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}
