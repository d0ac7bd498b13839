import { accessSync, constants, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** Where the binaries of the real parts are. Absolute paths; nothing is started by asking. */
export interface Parts {
  readonly etcd: string;
  readonly kubeApiserver: string;
  readonly kubeControllerManager: string;
  readonly envoy: string;
  readonly redisServer: string;
  readonly redisCli: string;
  readonly nginx: string;
  readonly caddy: string;
}

/** Finds what setup.sh has put in place; throws, naming the script to run, when a part is absent. */
export function findParts(): Parts {
  const versions = readVersions();
  const cache = cacheDirectory();
  const controlPlane = join(
    cache,
    `kubernetes-${version(versions, 'KUBERNETES_VERSION')}-etcd-${version(versions, 'ETCD_VERSION')}`,
  );
  return {
    etcd: executable(join(controlPlane, 'etcd')),
    kubeApiserver: executable(join(controlPlane, 'kube-apiserver')),
    kubeControllerManager: executable(join(controlPlane, 'kube-controller-manager')),
    envoy: executable(join(cache, `envoy-${version(versions, 'ENVOY_VERSION')}`, 'envoy')),
    redisServer: executableOnPath('redis-server'),
    redisCli: executableOnPath('redis-cli'),
    nginx: executable(join(cache, 'nginx-debian', 'nginx')),
    caddy: executable(join(cache, 'caddy-debian', 'caddy')),
  };
}

/** The same place as in common.sh: TIERGATE_CACHE, else the user's cache folder. */
function cacheDirectory(): string {
  const own = process.env['TIERGATE_CACHE'];
  if (own !== undefined && own !== '') return own;
  const users = process.env['XDG_CACHE_HOME'];
  return join(users !== undefined && users !== '' ? users : join(homedir(), '.cache'), 'tiergate');
}

function readVersions(): ReadonlyMap<string, string> {
  const text = readFileSync(join(import.meta.dirname, 'versions.env'), 'utf8');
  const versions = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key, value] = /^([A-Z_]+)=(\S+)$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) versions.set(key, value);
  }
  return versions;
}

function version(versions: ReadonlyMap<string, string>, key: string): string {
  const value = versions.get(key);
  if (value === undefined) throw new Error(`versions.env has no ${key}`);
  return value;
}

function executable(path: string): string {
  if (!isExecutable(path)) throw new Error(`${path} is not there: run test/real/setup.sh`);
  return path;
}

function executableOnPath(name: string): string {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, name);
    if (directory !== '' && isExecutable(path)) return path;
  }
  throw new Error(`${name} is not on the PATH: run test/real/setup.sh`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
