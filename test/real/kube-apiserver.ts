import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createCertificateAuthority } from './certificates.ts';
import { copyEtcdTemplate, hasEtcdTemplate, keepEtcdTemplate } from './etcd-template.ts';
import { freePort } from './free-port.ts';
import { createKubeClient, type KubeClient } from './kube-client.ts';
import { findParts } from './parts.ts';
import { type RunningProcess, startProcess } from './running-process.ts';

/** A user whose token never changes: stands in for the opaque tokens of an OpenShift cluster. */
export interface StaticUser {
  readonly token: string;
  readonly name: string;
  readonly groups: readonly string[];
}

export interface KubeApiServerOptions {
  /** Is given etcd's data folder by `stop`, once all has ended in good order. Default: it is removed unseen. */
  readonly keepData?: (folder: string) => Promise<void>;
  readonly users?: readonly StaticUser[];
  /**
   * Also start kube-controller-manager: namespaces then end when deleted, get their `default` ServiceAccount,
   * and owner references are followed. Default false.
   */
  readonly controllerManager?: boolean;
  /** Appended to the flags of kube-apiserver; of a flag given twice the last counts. */
  readonly extraArgs?: readonly string[];
}

/** One request as the API server's audit log recorded it on arrival. */
interface AuditedRequest {
  readonly user: string;
  readonly verb: string;
}

/** etcd and kube-apiserver, fresh and empty, for one test file. */
export interface KubeApiServer {
  readonly url: string;
  readonly port: number;
  readonly caPem: string;
  /** Bearer token of a member of `system:masters`. */
  readonly adminToken: string;
  /** The `iss` of ServiceAccount tokens. */
  readonly issuer: string;
  /** PKCS #8, RS256: signs what this API server takes for its own ServiceAccount tokens. */
  readonly serviceAccountSigningKeyPem: string;
  /** Speaks to the API server as `token`, by default as the administrator. */
  readonly client: (token?: string) => KubeClient;
  /** Writes a kubeconfig for `token`. `server`: another URL to reach it by, such as a fault proxy's. */
  readonly writeKubeconfig: (token: string, server?: string) => Promise<string>;
  /** Every review that has reached the API server so far, also those it has not answered yet. */
  readonly reviews: (resource: 'tokenreviews' | 'subjectaccessreviews') => readonly AuditedRequest[];
  /** These four touch kube-apiserver alone, as in {@link RunningProcess}; etcd goes on. */
  readonly pause: () => void;
  readonly resume: () => void;
  readonly kill: () => Promise<void>;
  /** Starts kube-apiserver again on the same port and data, ending it first if it runs. */
  readonly restart: () => Promise<void>;
  /**
   * Signs with a new key from now on, and starts kube-apiserver again. `keep`: what the old keys signed is still good,
   * as in the first step of a rotation.
   */
  readonly rotateServiceAccountKey: (how: { readonly keep: boolean }) => Promise<void>;
  /** All that runs now: etcd, kube-apiserver and, where asked for, kube-controller-manager. */
  readonly pids: () => readonly number[];
  /** Ends everything and removes its data. Safe to call twice. */
  readonly stop: () => Promise<void>;
}

/**
 * The cluster's own audience. Tiergate's is not among `--api-audiences` on purpose: with it there, an access
 * token would also open the Kubernetes API itself.
 */
export const clusterAudience = 'https://kubernetes.default.svc';

const issuer = 'https://kubernetes.default.svc.cluster.local';

/**
 * RequestReceived is written before the request is handled, so a caller that has its answer finds its request
 * in the log. Metadata only: a body would put tokens into a file.
 */
const auditPolicy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['ResponseStarted', 'ResponseComplete', 'Panic'],
  rules: [
    {
      level: 'Metadata',
      resources: [
        { group: 'authentication.k8s.io', resources: ['tokenreviews'] },
        { group: 'authorization.k8s.io', resources: ['subjectaccessreviews'] },
      ],
    },
    { level: 'None' },
  ],
};

/** Ready when `/readyz` says so, which includes the default RBAC objects. Takes about three seconds. */
export async function startKubeApiServer(options: KubeApiServerOptions = {}): Promise<KubeApiServer> {
  const directory = await mkdtemp(join(tmpdir(), 'tiergate-kube-'));
  const started: RunningProcess[] = [];
  /** Only once all is ready: half of what a start makes is not worth keeping. */
  let keepData: KubeApiServerOptions['keepData'];
  const stop = async (): Promise<void> => {
    const keep = keepData;
    keepData = undefined;
    if (keep !== undefined) {
      for (const running of started.toReversed()) await running.stop();
      await keep(join(directory, 'etcd'));
    }
    // All at once, and unasked: nothing of them is kept, and an API server that is asked takes a second to end.
    await Promise.all(started.map((running) => running.kill()));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const files = await writeFiles(directory, options.users ?? []);
    const etcd = await startEtcd(directory);
    started.push(etcd.process);
    const port = await freePort();
    const url = `https://127.0.0.1:${port}`;
    const client = (token = files.adminToken): KubeClient =>
      createKubeClient({ url, caPem: files.caPem, token });
    const start = (): Promise<RunningProcess> =>
      startProcess({
        name: 'kube-apiserver',
        command: findParts().kubeApiserver,
        args: [...apiServerArgs(directory, port, etcd.url), ...(options.extraArgs ?? [])],
        // Collects garbage later: a quarter less of the processor for a start, of which a run has dozens.
        env: { GOGC: '400' },
        isReady: async (signal) => (await client().get('/readyz', signal)).status === 200,
      });
    let apiServer = await start();
    started.push(apiServer);
    const writeKubeconfig = (token: string, server = url): Promise<string> =>
      writeKubeconfigFile(directory, { server, caPem: files.caPem, token });
    if (options.controllerManager === true) {
      const kubeconfig = await writeKubeconfig(files.adminToken);
      started.push(await startControllerManager(directory, kubeconfig, client()));
    }
    const restart = async (): Promise<void> => {
      await apiServer.stop();
      const again = await start();
      started.splice(started.indexOf(apiServer), 1, again);
      apiServer = again;
    };
    ({ keepData } = options);
    return {
      url,
      port,
      caPem: files.caPem,
      adminToken: files.adminToken,
      issuer,
      serviceAccountSigningKeyPem: files.serviceAccountSigningKeyPem,
      client,
      writeKubeconfig,
      reviews: (resource) => readAuditLog(join(directory, 'audit.log'), resource),
      pause: () => apiServer.pause(),
      resume: () => apiServer.resume(),
      kill: () => apiServer.kill(),
      restart,
      rotateServiceAccountKey: async ({ keep }) => {
        await rotateKey(directory, keep);
        await restart();
      },
      pids: () => started.map((running) => running.pid),
      stop,
    };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

/** So that every later start takes a fourth less of the processor. Does nothing where there is one already. */
export async function ensureEtcdTemplate(): Promise<void> {
  if (hasEtcdTemplate()) return;
  const kube = await startKubeApiServer({ keepData: keepEtcdTemplate });
  await kube.stop();
}

interface WrittenFiles {
  readonly caPem: string;
  readonly adminToken: string;
  readonly serviceAccountSigningKeyPem: string;
}

async function writeFiles(directory: string, users: readonly StaticUser[]): Promise<WrittenFiles> {
  const authority = createCertificateAuthority('tiergate-test-control-plane');
  const serving = authority.issue('kube-apiserver', ['127.0.0.1', 'localhost', 'kubernetes.default.svc']);
  const serviceAccountKeys = newKeyPair();
  const adminToken = randomBytes(24).toString('base64url');
  const everyone = [{ token: adminToken, name: 'test-admin', groups: ['system:masters'] }, ...users];
  const write = (name: string, text: string): Promise<void> =>
    writeFile(join(directory, name), text, { mode: 0o600 });
  await write('ca.crt', authority.caPem);
  await write('serving.crt', serving.certPem);
  await write('serving.key', serving.keyPem);
  await write('service-account.key', serviceAccountKeys.privateKey);
  await write('service-account.pub', serviceAccountKeys.publicKey);
  await write('users.csv', everyone.map(tokenFileLine).join(''));
  await write('audit-policy.json', JSON.stringify(auditPolicy));
  return { caPem: authority.caPem, adminToken, serviceAccountSigningKeyPem: serviceAccountKeys.privateKey };
}

function newKeyPair() {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
}

/** `--service-account-key-file` takes several public keys in one file. */
async function rotateKey(directory: string, keep: boolean): Promise<void> {
  const { privateKey, publicKey } = newKeyPair();
  const publicPath = join(directory, 'service-account.pub');
  const old = keep ? readFileSync(publicPath, 'utf8') : '';
  await writeFile(publicPath, `${publicKey}${old}`, { mode: 0o600 });
  await writeFile(join(directory, 'service-account.key'), privateKey, { mode: 0o600 });
}

/** `token,user,uid,"group,group"`, the format of `--token-auth-file`. */
function tokenFileLine(user: StaticUser): string {
  return `${user.token},${user.name},uid-${user.name},"${user.groups.join(',')}"\n`;
}

async function startEtcd(
  directory: string,
): Promise<{ readonly url: string; readonly process: RunningProcess }> {
  const url = `http://127.0.0.1:${await freePort()}`;
  const peerUrl = `http://127.0.0.1:${await freePort()}`;
  await copyEtcdTemplate(join(directory, 'etcd'));
  const etcd = await startProcess({
    name: 'etcd',
    command: findParts().etcd,
    args: [
      `--data-dir=${join(directory, 'etcd')}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=default=${peerUrl}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ],
    isReady: async (signal) => (await fetch(`${url}/health`, { signal })).ok,
  });
  return { url, process: etcd };
}

function apiServerArgs(directory: string, port: number, etcdUrl: string): readonly string[] {
  const file = (name: string): string => join(directory, name);
  return [
    `--etcd-servers=${etcdUrl}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--tls-cert-file=${file('serving.crt')}`,
    `--tls-private-key-file=${file('serving.key')}`,
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.0.0.0/24',
    '--anonymous-auth=false',
    `--token-auth-file=${file('users.csv')}`,
    '--authorization-mode=RBAC,Node',
    `--service-account-issuer=${issuer}`,
    `--service-account-signing-key-file=${file('service-account.key')}`,
    `--service-account-key-file=${file('service-account.pub')}`,
    `--api-audiences=${clusterAudience}`,
    `--audit-policy-file=${file('audit-policy.json')}`,
    `--audit-log-path=${file('audit.log')}`,
  ];
}

/** What a test may wait for: namespaces that end, ServiceAccounts that appear, owner references followed. */
const controllers = [
  'namespace-controller',
  'serviceaccount-controller',
  'serviceaccount-token-controller',
  'root-ca-certificate-publisher-controller',
  'garbage-collector-controller',
];

async function startControllerManager(
  directory: string,
  kubeconfig: string,
  client: KubeClient,
): Promise<RunningProcess> {
  return startProcess({
    name: 'kube-controller-manager',
    command: findParts().kubeControllerManager,
    args: [
      `--kubeconfig=${kubeconfig}`,
      '--use-service-account-credentials=true',
      `--controllers=${controllers.join(',')}`,
      `--service-account-private-key-file=${join(directory, 'service-account.key')}`,
      `--root-ca-file=${join(directory, 'ca.crt')}`,
      '--leader-elect=false',
      '--secure-port=0',
    ],
    // Its first visible work; it serves no port to ask.
    isReady: async (signal) =>
      (await client.get('/api/v1/namespaces/default/serviceaccounts/default', signal)).status === 200,
  });
}

interface KubeconfigOptions {
  readonly server: string;
  readonly caPem: string;
  readonly token: string;
}

async function writeKubeconfigFile(directory: string, options: KubeconfigOptions): Promise<string> {
  const path = join(directory, `kubeconfig-${randomBytes(6).toString('hex')}.json`);
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [
      {
        name: 'test',
        cluster: {
          server: options.server,
          'certificate-authority-data': Buffer.from(options.caPem).toString('base64'),
        },
      },
    ],
    users: [{ name: 'test', user: { token: options.token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
  };
  await writeFile(path, JSON.stringify(kubeconfig), { mode: 0o600 });
  return path;
}

function readAuditLog(path: string, resource: string): readonly AuditedRequest[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  const requests: AuditedRequest[] = [];
  for (const line of lines) {
    if (line === '') continue;
    // The API server's own format, audit.k8s.io/v1 Event; of it only what is read here.
    const event = JSON.parse(line) as {
      readonly verb: string;
      readonly user: { readonly username: string };
      readonly objectRef?: { readonly resource?: string };
    };
    if (event.objectRef?.resource === resource)
      requests.push({ user: event.user.username, verb: event.verb });
  }
  return requests;
}
