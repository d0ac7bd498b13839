import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CheckClient, createCheckClient } from '../../src/envoy/check-client.ts';
import { createKubernetesApi, type KubernetesApi } from '../../src/sandbox/kubernetes-api/server.ts';
import { ownUsers, sandboxUsers, seedCluster } from '../../src/sandbox/seed.ts';
import { type ProgramProcess, startProgram } from './program-process.ts';

const instance = 'maas-default-gateway';

/** An authorizer and an issuer in processes of their own, in front of an embedded API server that can be told to fail. */
export interface TwoPrograms {
  readonly api: KubernetesApi;
  readonly authorizer: ProgramProcess;
  readonly issuer: ProgramProcess;
  readonly check: CheckClient;
  readonly issuerUrl: string;
  /** URLs of the ops ports. */
  readonly ops: readonly string[];
  /** Tokens by which the cluster knows: our programs, then the people of the sandbox too. */
  readonly ownTokens: readonly string[];
  readonly clusterTokens: readonly string[];
  readonly tokenOf: (name: 'bob' | 'alice') => string;
  /** A new access token of the tier free that ends in so many minutes (60), or that ended so long ago. */
  readonly issueToken: (minutes?: number) => Promise<string>;
  readonly folder: string;
  readonly stop: () => Promise<void>;
}

const policy = `
- {name: free, groups: [system:authenticated], limits: {requests: [{limit: 1000, window: 2m}]}}
- {name: premium, level: 10, groups: [tier-premium-users], limits: unlimited}
`;

/** `nodeArgs` are Node's own, for both. `more`: sections of the process file, said over what stands here. */
export async function startTwoPrograms(
  nodeArgs: readonly string[] = [],
  more: (folder: string) => object = () => ({}),
): Promise<TwoPrograms> {
  const folder = mkdtempSync(join(tmpdir(), 'tiergate-two-'));
  const unguessable = (word: string) => `${word}-${randomBytes(24).toString('base64url')}`;
  const people = sandboxUsers.map(({ username, groups }) => ({
    username,
    groups,
    token: unguessable('person'),
  }));
  const ours = {
    authorizer: { ...ownUsers.authorizer, token: unguessable('authorizer') },
    issuer: { ...ownUsers.issuer, token: unguessable('issuer') },
  };
  const api = createKubernetesApi({ users: [...people, ours.authorizer, ours.issuer] });
  seedCluster(api, instance, ['free', 'premium']);
  const { url } = await api.start();
  writeFileSync(join(folder, 'policy.yaml'), policy);

  const start = (name: keyof typeof ours): ProgramProcess => {
    const context = { cluster: 'c', user: 'u', namespace: 'tiergate' };
    writeFileSync(
      join(folder, `${name}.kubeconfig`),
      JSON.stringify({
        clusters: [{ name: 'c', cluster: { server: url } }],
        users: [{ name: 'u', user: { token: ours[name].token } }],
        contexts: [{ name: 'x', context }],
        'current-context': 'x',
      }),
    );
    const any = { address: '127.0.0.1:0' };
    writeFileSync(
      join(folder, `${name}.yaml`),
      JSON.stringify({
        instance,
        limits: { store: 'memory' },
        listeners: { grpc: any, ops: any },
        issuer: { listeners: { http: any, ops: any } },
        credential: { headers: ['authorization', 'x-api-key'] },
        policy: { file: 'policy.yaml' },
        kubernetes: { kubeconfig: `${name}.kubeconfig` },
        reviews: { timeout: '500ms' },
        check: { deadline: '800ms' },
        log: { level: 'debug', decisions: 'all' },
        ...more(folder),
      }),
    );
    return startProgram([name, '--config', join(folder, `${name}.yaml`)], { nodeArgs, folder });
  };
  const authorizer = start('authorizer');
  const issuer = start('issuer');
  await Promise.all([authorizer.said('"event":"ready"'), issuer.said('"event":"ready"')]);
  await Promise.all([authorizer.said('"listener":"grpc"'), issuer.said('"listener":"issuer"')]);
  const check = createCheckClient(addressOf(authorizer, 'grpc'));

  return {
    api,
    authorizer,
    issuer,
    check,
    issuerUrl: `http://${addressOf(issuer, 'issuer')}`,
    ops: [authorizer, issuer].map((program) => `http://${addressOf(program, 'ops')}`),
    ownTokens: [ours.authorizer.token, ours.issuer.token],
    clusterTokens: [...people, ours.authorizer, ours.issuer].map(({ token }) => token),
    tokenOf: (name) => people.find(({ username }) => username.startsWith(name))?.token ?? '',
    async issueToken(minutes = 60) {
      const account = { namespace: `${instance}-tier-free`, name: 'sam' };
      api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: account });
      return await api.issueToken({
        ...account,
        audiences: [`${instance}-sa`],
        issuedAtMs: Date.now() + (minutes < 0 ? 2 * minutes * 60_000 : 0),
        expirationSeconds: Math.abs(minutes) * 60,
      });
    },
    folder,
    async stop() {
      check.close();
      for (const program of [authorizer, issuer]) program.signal('SIGKILL');
      await Promise.all([authorizer.ended, issuer.ended, api.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Of the line that tells of a listener. */
function addressOf(program: ProgramProcess, listener: string): string {
  const [, address] = new RegExp(`"listener":"${listener}","address":"([^"]+)"`).exec(program.out()) ?? [];
  if (address === undefined) throw new Error(`no listener ${listener} in:\n${program.out()}${program.err()}`);
  return address;
}
