import { readFileSync } from 'node:fs';
import type { Agent, RequestOptions } from 'node:https';
import { isIPv4 } from 'node:net';
import { dirname, resolve } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import type { KubeConfig, loadYaml } from '@kubernetes/client-node';
import { DependencyError } from '../dependency-error.ts';
import { createSecret, type Secret } from '../secret.ts';

export interface TlsOptions extends Pick<SecureContextOptions, 'ca' | 'cert' | 'key' | 'pfx' | 'passphrase'> {
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** What goes with a request so that the API server knows us, and we know it. */
export interface Credentials {
  /** Value of the Authorization header. */
  readonly authorization: Secret | undefined;
  /** Further headers: impersonation. */
  readonly headers: Readonly<Record<string, string>>;
  /** A function, so that the private key is in no object that could be printed. */
  readonly tls: () => TlsOptions;
  /** Only where the kubeconfig names a proxy: the client's own agents know none. */
  readonly agent: Agent | undefined;
}

/** Where the API server is, and how to be known to it. */
export interface Connection {
  /** With the path that all of its paths are under (`/` but for clusters behind a proxy of theirs). */
  readonly server: URL;
  /** The namespace of the context: in a cluster, the one that this process runs in. */
  readonly namespace: string | undefined;
  /** Throws DependencyError (`misconfigured`) when they can't be read. */
  readonly credentials: () => Promise<Credentials>;
  /**
   * After the API server said 401 to `refused`: what is there now, read again from its source, or undefined if
   * that is the same. Reads at most every five seconds, however many ask.
   */
  readonly renew: (refused: Credentials) => Promise<Credentials | undefined>;
}

export interface ConnectionOptions {
  /** Path of a kubeconfig. Absent: `KUBECONFIG`, `~/.kube/config`, else the cluster that this process runs in. */
  readonly kubeconfig?: string;
  /** A context other than the kubeconfig's current one. */
  readonly context?: string;
  readonly now?: () => number;
}

/** Between two looks at the source: a token file rotates long before its token ends, an exec plugin is a process. */
const freshMs = 30_000;
/** A source of credentials that hangs (an exec plugin waiting for a person) is given up after this. */
const readTimeoutMs = 10_000;
const renewEveryMs = 5_000;

/**
 * Reads configuration the way kubectl does, by the official client's KubeConfig: in-cluster, kubeconfig, client
 * certificates, exec plugins, OIDC, token files. Throws an Error in words for the operator when there is none or
 * it can't be used.
 */
export async function loadConnection(options: ConnectionOptions = {}): Promise<Connection> {
  let config = await readConfig(options);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error(`${sourceOf(options)}: its context names no cluster`);
  const server = serverUrl(cluster.server, sourceOf(options));
  const isProxied = cluster.proxyUrl !== undefined && cluster.proxyUrl !== null;
  const connection = createConnection({
    server,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace?.trim(),
    read: () => credentialsFrom(config, isProxied),
    reload: async () => {
      config = await readConfig(options);
    },
    now: options.now ?? Date.now,
  });
  await connection.credentials();
  return connection;
}

export interface FixedConnectionOptions {
  readonly server: string;
  readonly token?: Secret;
  /** PEM of the authority that signed the server's certificate. Absent: the machine's own. */
  readonly caPem?: string;
  readonly namespace?: string;
}

/** A connection that never changes: to an API server that this process started itself. */
export function createFixedConnection(options: FixedConnectionOptions): Connection {
  const tls: TlsOptions = options.caPem === undefined ? {} : { ca: options.caPem };
  const credentials: Credentials = {
    authorization:
      options.token === undefined ? undefined : createSecret(`Bearer ${options.token.reveal().trim()}`),
    headers: {},
    tls: () => tls,
    agent: undefined,
  };
  return {
    server: serverUrl(options.server, 'kubernetes'),
    namespace: options.namespace,
    credentials: () => Promise.resolve(credentials),
    renew: () => Promise.resolve(undefined),
  };
}

interface ConnectionParts {
  readonly server: URL;
  readonly namespace: string | undefined;
  readonly read: () => Promise<Credentials>;
  readonly reload: () => Promise<void>;
  readonly now: () => number;
}

function createConnection(parts: ConnectionParts): Connection {
  const { read, reload, now } = parts;
  let held: { readonly credentials: Credentials; readonly readAtMs: number } | undefined;
  let reading: Promise<Credentials> | undefined;
  let renewedAtMs = Number.NEGATIVE_INFINITY;

  async function readOnce(again: boolean): Promise<Credentials> {
    try {
      if (again) await reload();
      held = { credentials: await withinTime(read()), readAtMs: now() };
    } catch (error) {
      // What is held may still be good: whether it is, the API server says.
      if (held === undefined) throw unreadable(error);
      held = { ...held, readAtMs: now() };
    } finally {
      reading = undefined;
    }
    return held.credentials;
  }

  return {
    server: parts.server,
    namespace: parts.namespace,
    credentials: async () => {
      if (held !== undefined && now() - held.readAtMs < freshMs) return held.credentials;
      reading ??= readOnce(false);
      return reading;
    },
    renew: async (refused) => {
      if (held === undefined || held.credentials === refused) {
        if (reading === undefined && now() - renewedAtMs < renewEveryMs) return undefined;
        renewedAtMs = now();
        reading ??= readOnce(true);
        await reading;
      }
      const current = held?.credentials;
      return current === undefined || isSame(current, refused) ? undefined : current;
    },
  };
}

function isSame(one: Credentials, other: Credentials): boolean {
  return (
    one.authorization?.reveal() === other.authorization?.reveal() &&
    String(one.tls().cert) === String(other.tls().cert)
  );
}

async function readConfig({ kubeconfig, context }: ConnectionOptions): Promise<KubeConfig> {
  // Half a second and 70 MiB: only for who needs it.
  const client = await import('@kubernetes/client-node');
  const config = new client.KubeConfig();
  const source = sourceOf({ kubeconfig });
  let fault: string | undefined;
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (error) {
    // The first line alone, and no cause: a YAML parser goes on to quote the lines around, tokens among them.
    fault = (error instanceof Error ? error.message : '').split('\n')[0] || 'can not be read';
  }
  if (fault !== undefined) throw new Error(`${source}: ${fault}`);
  if (kubeconfig !== undefined) followTokenFiles(config, kubeconfig, client.loadYaml);
  if (context !== undefined) config.setCurrentContext(context);
  const contexts = config.getContexts().map(({ name }) => name);
  if (kubeconfig === undefined && contexts.length === 1 && config.getCurrentUser()?.name === 'user') {
    // What KubeConfig makes up (http://localhost:8080) when it finds nothing.
    if (config.getCurrentCluster()?.server === 'http://localhost:8080') {
      throw new Error('kubernetes: not in a cluster, and there is no kubeconfig: set kubernetes.kubeconfig');
    }
  }
  if (!contexts.includes(config.getCurrentContext())) {
    const known = contexts.length === 0 ? 'none' : contexts.join(', ');
    throw new Error(`${source}: no context ${JSON.stringify(config.getCurrentContext())}; it has ${known}`);
  }
  // Plain HTTP is only let through to this machine itself (serverUrl), and KubeConfig wants to be told.
  for (const cluster of config.clusters) {
    if (cluster.server.startsWith('http:')) Object.assign(cluster, { skipTLSVerify: true });
  }
  return config;
}

interface KubeconfigUser {
  readonly name?: string;
  readonly user?: { readonly tokenFile?: string };
}

/** client-node 1.4 does not know `tokenFile` (client-go's key, which wins over `token`) of a kubeconfig's user. */
function followTokenFiles(config: KubeConfig, kubeconfig: string, load: typeof loadYaml): void {
  const document = load<{ readonly users?: readonly KubeconfigUser[] }>(readFileSync(kubeconfig, 'utf8'));
  for (const { name, user } of document.users ?? []) {
    const found =
      user?.tokenFile === undefined ? undefined : config.users.find((known) => known.name === name);
    if (found === undefined || user?.tokenFile === undefined) continue;
    const tokenFile = resolve(dirname(kubeconfig), user.tokenFile);
    // KubeConfig spells "none" as an absent key, which its type does not allow to be set.
    Object.assign(found, { token: undefined, authProvider: { name: 'tokenFile', config: { tokenFile } } });
  }
}

async function credentialsFrom(config: KubeConfig, isProxied: boolean): Promise<Credentials> {
  const applied: RequestOptions = {};
  await config.applyToHTTPSOptions(applied);
  const { authorization, ...headers } = lowerCased(applied.headers ?? {});
  const { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized } = applied;
  const tls = Object.fromEntries(
    Object.entries({ ca, cert, key, pfx, passphrase, servername, rejectUnauthorized }).filter(
      ([, value]) => value !== undefined && value !== null,
    ),
  ) as TlsOptions;
  const basic =
    typeof applied.auth === 'string' ? `Basic ${Buffer.from(applied.auth).toString('base64')}` : undefined;
  // A token file often ends in a line feed, which no header may hold.
  const value = authorization?.trim() ?? basic;
  return {
    authorization: value === undefined ? undefined : createSecret(value),
    headers,
    tls: () => tls,
    agent: isProxied && typeof applied.agent === 'object' ? (applied.agent as Agent) : undefined,
  };
}

function lowerCased(headers: object): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)] as const),
  );
}

/** The bearer token goes along with each request: never in clear text over a network. */
function serverUrl(text: string, source: string): URL {
  if (!URL.canParse(text)) throw new Error(`${source}: ${JSON.stringify(text)} is not a URL`);
  const url = new URL(text);
  const host = url.hostname;
  const isLoopback = host === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'));
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback)) return url;
  throw new Error(`${source}: ${url.origin} must be https, or http to this machine itself`);
}

function sourceOf({ kubeconfig }: { readonly kubeconfig?: string | undefined }): string {
  return kubeconfig === undefined ? 'kubernetes' : `kubeconfig ${kubeconfig}`;
}

/** Without its cause: an exec plugin's error is whatever it printed. */
function unreadable(error: unknown): DependencyError {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  const why = typeof code === 'string' ? ` (${code})` : '';
  return new DependencyError('kubernetes', 'misconfigured', {
    detail: `our own credentials can not be read${why}`,
  });
}

async function withinTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('reading credentials took too long')), readTimeoutMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
