import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { freePort } from '../real/free-port.ts';
import type { KubeApiServer } from '../real/kube-apiserver.ts';
import { type RunningProcess, startProcess } from '../real/running-process.ts';
import { deploymentOf, objectOf } from './deployment.ts';
import type { RenderedObject } from './render.ts';

/** A program of a Deployment, run as its pod would run it. */
export interface Pod extends RunningProcess {
  /** Where it listens in place of a named port of the container. */
  readonly portOf: (name: string) => number;
  /** An URL of the ops port. */
  readonly ops: (path: string) => string;
  readonly remove: () => Promise<void>;
}

export interface PodOptions {
  readonly objects: readonly RenderedObject[];
  readonly deployment: string;
  readonly kube: KubeApiServer;
  /** The built program, in place of the image's entry point. */
  readonly program: string;
  /** Content of the keys of the Secret that is mounted. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Said over what the process file says: addresses of this machine. */
  readonly config: (ports: (name: string) => number) => object;
}

/**
 * Starts the container's arguments with the process file of the ConfigMap that it mounts, as its own ServiceAccount, so with the
 * rights that the manifests give it. Changed are the addresses, and where its mounts are. Ready when its readiness probe says so.
 */
export async function startPod(options: PodOptions): Promise<Pod> {
  const { objects, kube } = options;
  const { metadata, spec } = deploymentOf(objects, options.deployment);
  const { containers, volumes, serviceAccountName } = spec.template.spec;
  const [container] = containers;
  const folder = await mkdtemp(join(tmpdir(), 'tiergate-pod-'));
  const ports = new Map<string, number>();
  for (const { name } of container.ports) ports.set(name, await freePort());
  const portOf = (name: string): number => {
    const port = ports.get(name);
    if (port === undefined) throw new Error(`${options.deployment} has no port ${name}`);
    return port;
  };

  for (const { mountPath } of container.volumeMounts)
    await mkdir(join(folder, mountPath), { recursive: true });
  const pathOf = (volume: string): string =>
    join(folder, container.volumeMounts.find(({ name }) => name === volume)?.mountPath ?? '');
  for (const { name, secret } of volumes) {
    if (secret === undefined) continue;
    for (const [key, content] of Object.entries(options.secrets))
      await writeFile(join(pathOf(name), key), content, { mode: 0o600 });
  }
  const namespace = metadata.namespace ?? '';
  const kubeconfig = await kubeconfigOf(kube, { namespace, name: serviceAccountName });
  for (const { name, configMap } of volumes) {
    if (configMap === undefined) continue;
    const { data = {} } = objectOf(objects, 'ConfigMap', configMap.name);
    for (const [key, text] of Object.entries(data)) {
      const moved = text.replaceAll('/etc/tiergate/', `${folder}/etc/tiergate/`);
      const content = withOver(parse(moved) as Tree, {
        ...options.config(portOf),
        kubernetes: { kubeconfig },
      });
      await writeFile(join(pathOf(name), key), JSON.stringify(content));
    }
  }

  const ops = (path: string): string => `http://127.0.0.1:${portOf('ops')}${path}`;
  const running = await startProcess({
    name: basename(options.deployment),
    command: process.execPath,
    args: [options.program, ...container.args.map((arg) => arg.replace(/^\/etc/, `${folder}/etc`))],
    env: { LOG_LEVEL: 'info' },
    isReady: async (signal) => (await fetch(ops(container.readinessProbe.httpGet.path), { signal })).ok,
  });
  return {
    ...running,
    portOf,
    ops,
    async remove() {
      await running.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** As a pod has it: a token of its ServiceAccount, and the namespace. */
async function kubeconfigOf(
  kube: KubeApiServer,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<string> {
  const { status, body } = await kube
    .client()
    .post(`/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {},
    });
  if (status !== 201) throw new Error(`TokenRequest: ${status} ${JSON.stringify(body)}`);
  const { token } = (body as { readonly status: { readonly token: string } }).status;
  const path = await kube.writeKubeconfig(token);
  const written = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly contexts: readonly { context: object }[];
  };
  for (const entry of written.contexts) entry.context = { ...entry.context, namespace };
  await writeFile(path, JSON.stringify(written), { mode: 0o600 });
  return path;
}

type Tree = Readonly<Record<string, unknown>>;

function withOver(under: Tree, over: Tree): Tree {
  const merged: Record<string, unknown> = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isTree(value) && isTree(below) ? withOver(below, value) : value;
  }
  return merged;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
