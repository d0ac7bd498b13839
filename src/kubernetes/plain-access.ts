import { existsSync, readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { env } from 'node:process';
import type { ClusterAccess, ClusterChoice } from './cluster-access.ts';
import { readPlainCredentials, readPlainKubeconfig } from './plain-kubeconfig.ts';

/** Where an environment tells of a cluster; given by tests. */
export interface AccessSurroundings {
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Where Kubernetes mounts a pod's own token. */
  readonly podFolder: string;
}

const surroundings: AccessSurroundings = {
  variables: env,
  podFolder: '/var/run/secrets/kubernetes.io/serviceaccount',
};

/**
 * Looks where kubectl looks: the kubeconfig that is named, `KUBECONFIG`, `~/.kube/config`, the pod. undefined: there is
 * nothing, or not what is read without the official client ({@link readPlainKubeconfig}).
 */
export function readPlainAccess(
  { kubeconfig, context }: ClusterChoice,
  { variables, podFolder }: AccessSurroundings = surroundings,
): ClusterAccess | undefined {
  const path = kubeconfig ?? kubeconfigOf(variables);
  if (path === undefined) return context === undefined ? accessOfPod(variables, podFolder) : undefined;
  try {
    return readPlainKubeconfig(readFileSync(path, 'utf8'), { folder: dirname(path), context });
  } catch {
    // Several files, or one that is not there.
    return undefined;
  }
}

function kubeconfigOf({ KUBECONFIG, HOME }: AccessSurroundings['variables']): string | undefined {
  if (KUBECONFIG) return KUBECONFIG.split(delimiter).filter(Boolean).length === 1 ? KUBECONFIG : '';
  if (!HOME) return undefined;
  const path = join(HOME, '.kube', 'config');
  return existsSync(path) ? path : undefined;
}

/** By what Kubernetes puts into every pod; its token is renewed in place. */
function accessOfPod(
  { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port }: AccessSurroundings['variables'],
  folder: string,
): ClusterAccess | undefined {
  if (!host || !port || !existsSync(join(folder, 'token'))) return undefined;
  const namespaceFile = join(folder, 'namespace');
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    namespace: existsSync(namespaceFile) ? readFileSync(namespaceFile, 'utf8') : undefined,
    readCredentials: () =>
      readPlainCredentials(
        { isVerified: true, 'certificate-authority': 'ca.crt' },
        { tokenFile: 'token' },
        folder,
      ),
  };
}
