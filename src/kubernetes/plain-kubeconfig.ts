import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { createSecret } from '../secret.ts';
import type { ClusterAccess, Credentials, TlsOptions } from './cluster-access.ts';
import { isRecord, type JsonRecord } from './json-shape.ts';

export interface PlainKubeconfigOptions {
  /** The kubeconfig's folder: where the relative paths in it begin. */
  readonly folder: string;
  /** A context other than the current one. */
  readonly context?: string | undefined;
}

const contextKeys = ['cluster', 'user', 'namespace'] as const;
const clusterKeys = [
  'server',
  'certificate-authority',
  'certificate-authority-data',
  'tls-server-name',
] as const;
const userKeys = [
  'token',
  'tokenFile',
  'client-certificate',
  'client-certificate-data',
  'client-key',
  'client-key-data',
  'username',
  'password',
] as const;

type Texts<Key extends string> = Readonly<Partial<Record<Key, string>>>;
type Cluster = Texts<(typeof clusterKeys)[number]>;

/** What may stand in a user of a kubeconfig that is read here. */
export type PlainUser = Texts<(typeof userKeys)[number]>;

/** A cluster of such a kubeconfig. */
export interface PlainCluster extends Omit<Cluster, 'server'> {
  readonly isVerified: boolean;
}

/**
 * The text of a kubeconfig whose context holds nothing but a server, tokens, passwords, certificates and their files.
 * undefined: it holds more (exec, auth-provider, a proxy, impersonation, a key of tomorrow) or is malformed. Then the
 * official client is to read it, and says what is wrong.
 */
export function readPlainKubeconfig(
  text: string,
  { folder, context: chosen }: PlainKubeconfigOptions,
): ClusterAccess | undefined {
  const root = parsed(text);
  const contexts = bodiesByName(root?.['contexts'], 'context');
  const clusters = bodiesByName(root?.['clusters'], 'cluster');
  const users = bodiesByName(root?.['users'], 'user');
  const context = textsOf(contexts?.get(chosen ?? root?.['current-context']), contextKeys);
  const { 'insecure-skip-tls-verify': skipVerification = false, ...clusterBody } =
    clusters?.get(context?.cluster) ?? {};
  const cluster = textsOf(clusterBody, clusterKeys);
  const user = textsOf(users?.get(context?.user), userKeys);
  if (cluster?.server === undefined || user === undefined || typeof skipVerification !== 'boolean') {
    return undefined;
  }
  if ((user.username === undefined) !== (user.password === undefined)) return undefined;
  return {
    server: cluster.server.replace(/\/$/, ''),
    namespace: context?.namespace,
    readCredentials: () => readPlainCredentials({ ...cluster, isVerified: !skipVerification }, user, folder),
  };
}

/** A file wins over the same given as data, and is read each time: it may have been renewed. */
export async function readPlainCredentials(
  cluster: PlainCluster,
  user: PlainUser,
  folder: string,
): Promise<Credentials> {
  const fileOr = async (
    file: string | undefined,
    base64: string | undefined,
  ): Promise<Buffer | undefined> => {
    if (file !== undefined) return await readFile(resolve(folder, file));
    return base64 === undefined ? undefined : Buffer.from(base64, 'base64');
  };
  const [ca, cert, key, token] = await Promise.all([
    fileOr(cluster['certificate-authority'], cluster['certificate-authority-data']),
    fileOr(user['client-certificate'], user['client-certificate-data']),
    fileOr(user['client-key'], user['client-key-data']),
    user.tokenFile === undefined ? user.token : readFile(resolve(folder, user.tokenFile), 'utf8'),
  ]);
  const servername = cluster['tls-server-name'];
  const tls: TlsOptions = {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(servername !== undefined && { servername }),
    ...(!cluster.isVerified && { rejectUnauthorized: false }),
  };
  const authorization = authorizationOf(user, token?.trim());
  return {
    authorization: authorization === undefined ? undefined : createSecret(authorization),
    headers: {},
    tls: () => tls,
    agent: undefined,
  };
}

function authorizationOf({ username, password }: PlainUser, token: string | undefined): string | undefined {
  if (token !== undefined && token !== '') return `Bearer ${token}`;
  if (username === undefined) return undefined;
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function parsed(text: string): JsonRecord | undefined {
  const document = parseDocument(text, { merge: true, logLevel: 'silent' });
  if (document.errors.length > 0 || document.warnings.length > 0) return undefined;
  try {
    const root: unknown = document.toJS();
    return isRecord(root) ? root : undefined;
  } catch {
    // Aliases of aliases: more than a configuration needs.
    return undefined;
  }
}

/** Of `[{ name, [key]: body }]`; the first of a name counts. undefined where any entry is something else. */
function bodiesByName(list: unknown, key: string): ReadonlyMap<unknown, JsonRecord> | undefined {
  if (!Array.isArray(list)) return undefined;
  const bodyByName = new Map<unknown, JsonRecord>();
  for (const entry of list as readonly unknown[]) {
    if (!isRecord(entry)) return undefined;
    const { name, [key]: body } = entry;
    if (typeof name !== 'string' || name === '' || !isRecord(body)) return undefined;
    if (!bodyByName.has(name)) bodyByName.set(name, body);
  }
  return bodyByName;
}

/** The body where it holds texts under these keys and nothing else; what others note in `extensions` is theirs. */
function textsOf<Key extends string>(
  body: JsonRecord | undefined,
  keys: readonly Key[],
): Texts<Key> | undefined {
  if (body === undefined) return undefined;
  const texts: Partial<Record<string, string>> = {};
  for (const [key, value] of Object.entries(body)) {
    if (key === 'extensions' || value === '') continue;
    if (typeof value !== 'string' || !(keys as readonly string[]).includes(key)) return undefined;
    texts[key] = value;
  }
  return texts as Texts<Key>;
}
