import { readFileSync } from 'node:fs';
import type { Agent, RequestOptions } from 'node:https';
import { dirname, resolve } from 'node:path';
import { KubeConfig, loadYaml } from '@kubernetes/client-node';
import { createSecret } from '../secret.ts';
import {
  type ClusterAccess,
  type ClusterChoice,
  type Credentials,
  sourceOf,
  type TlsOptions,
} from './cluster-access.ts';

/**
 * Whatever kubectl reads, by the official client's KubeConfig. Throws an Error in words for the operator when there is
 * no configuration or it can't be used.
 */
export function readOfficialAccess(choice: ClusterChoice): ClusterAccess {
  const config = readConfig(choice);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error(`${sourceOf(choice)}: its context names no cluster`);
  const isProxied = cluster.proxyUrl !== undefined && cluster.proxyUrl !== null;
  return {
    server: cluster.server,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace,
    readCredentials: () => credentialsFrom(config, isProxied),
  };
}

function readConfig(choice: ClusterChoice): KubeConfig {
  const { kubeconfig, context } = choice;
  const config = new KubeConfig();
  const source = sourceOf(choice);
  let fault: string | undefined;
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (error) {
    // The first line alone, and no cause: a YAML parser goes on to quote the lines around, tokens among them.
    fault = (error instanceof Error ? error.message : '').split('\n')[0] || 'can not be read';
  }
  if (fault !== undefined) throw new Error(`${source}: ${fault}`);
  if (kubeconfig !== undefined) followTokenFiles(config, kubeconfig);
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
function followTokenFiles(config: KubeConfig, kubeconfig: string): void {
  const document = loadYaml<{ readonly users?: readonly KubeconfigUser[] }>(readFileSync(kubeconfig, 'utf8'));
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
