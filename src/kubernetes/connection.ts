import { isIPv4 } from 'node:net';
import { DependencyError } from '../dependency-error.ts';
import { createSecret, type Secret } from '../secret.ts';
import {
  type ClusterAccess,
  type ClusterChoice,
  type Credentials,
  sourceOf,
  type TlsOptions,
} from './cluster-access.ts';
import { readPlainAccess } from './plain-access.ts';

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

export interface ConnectionOptions extends ClusterChoice {
  readonly now?: () => number;
}

/** Between two looks at the source: a token file rotates long before its token ends, an exec plugin is a process. */
const freshMs = 30_000;
/** A source of credentials that hangs (an exec plugin waiting for a person) is given up after this. */
const readTimeoutMs = 10_000;
const renewEveryMs = 5_000;

/**
 * Reads configuration the way kubectl does: in-cluster, kubeconfig, client certificates, exec plugins, OIDC, token
 * files. Throws an Error in words for the operator when there is none or it can't be used.
 */
export async function loadConnection(options: ConnectionOptions = {}): Promise<Connection> {
  let access = await readAccess(options);
  const connection = createConnection({
    server: serverUrl(access.server, sourceOf(options)),
    namespace: access.namespace?.trim(),
    read: () => access.readCredentials(),
    reload: async () => {
      access = await readAccess(options);
    },
    now: options.now ?? Date.now,
  });
  await connection.credentials();
  return connection;
}

async function readAccess(choice: ClusterChoice): Promise<ClusterAccess> {
  const plain = readPlainAccess(choice);
  if (plain !== undefined) return plain;
  // 0.7 s and 70 MiB: only for who needs it (ADR 17).
  const { readOfficialAccess } = await import('./official-access.ts');
  return readOfficialAccess(choice);
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

/** The bearer token goes along with each request: never in clear text over a network. */
function serverUrl(text: string, source: string): URL {
  if (!URL.canParse(text)) throw new Error(`${source}: ${JSON.stringify(text)} is not a URL`);
  const url = new URL(text);
  const host = url.hostname;
  const isLoopback = host === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'));
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback)) return url;
  throw new Error(`${source}: ${url.origin} must be https, or http to this machine itself`);
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
