import type { Agent } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import type { Secret } from '../secret.ts';

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

/** A context of a kubeconfig, or the pod that this process is in, as it was read. */
export interface ClusterAccess {
  /** As it is written there: not looked at yet. */
  readonly server: string;
  readonly namespace: string | undefined;
  /** Reads the files that are named, runs the plugin that is. Throws whatever that throws, secrets in it perhaps. */
  readonly readCredentials: () => Promise<Credentials>;
}

/** Which context of which kubeconfig. */
export interface ClusterChoice {
  /** Path of a kubeconfig. Absent: `KUBECONFIG`, `~/.kube/config`, else the cluster that this process runs in. */
  readonly kubeconfig?: string;
  /** A context other than the kubeconfig's current one. */
  readonly context?: string;
}

/** The name by which errors call it. */
export function sourceOf({ kubeconfig }: ClusterChoice): string {
  return kubeconfig === undefined ? 'kubernetes' : `kubeconfig ${kubeconfig}`;
}
