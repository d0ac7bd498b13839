import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClusterAccess } from '../../src/kubernetes/cluster-access.ts';
import { readOfficialAccess } from '../../src/kubernetes/official-access.ts';
import { readPlainAccess } from '../../src/kubernetes/plain-access.ts';

const folder = mkdtempSync(join(tmpdir(), 'tiergate-access-'));
const base64 = (text: string) => Buffer.from(text).toString('base64');
const server = 'https://api.example:6443';

beforeAll(() => {
  for (const name of ['ca.crt', 'me.crt', 'me.key', 'token']) writeFileSync(join(folder, name), `${name}\n`);
  writeFileSync(join(folder, 'namespace'), 'tiergate\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Parts {
  readonly cluster?: object;
  readonly user?: object;
  readonly context?: object;
  readonly more?: object;
}

const textOf = ({ cluster, user, context, more }: Parts): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    preferences: {},
    clusters: [{ name: 'c', cluster: { server, ...cluster } }],
    users: [{ name: 'u', user: { ...user } }],
    contexts: [
      { name: 'here', context: { cluster: 'c', user: 'u', namespace: 'tiergate', ...context } },
      { name: 'there', context: { cluster: 'c', user: 'u' } },
    ],
    'current-context': 'here',
    ...more,
  });

function written(text: string, name = 'kubeconfig'): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const nowhere = { variables: {}, podFolder: join(folder, 'absent') };

async function shown(access: ClusterAccess | undefined) {
  const credentials = await access?.readCredentials();
  return {
    server: access?.server,
    namespace: access?.namespace,
    authorization: credentials?.authorization?.reveal(),
    headers: credentials?.headers,
    tls: credentials?.tls(),
    agent: credentials?.agent,
  };
}

const inYaml = `
apiVersion: v1
kind: Config
current-context: here
authorities: &trusted
  certificate-authority: ca.crt
clusters:
- name: c
  cluster:
    <<: *trusted
    server: ${server}
users:
- {name: u, user: {token: 'in: yaml'}} # with a comment
contexts:
- context:
    cluster: c
    user: u
  name: here
`;

const ordinary: Readonly<Record<string, string>> = {
  'a token': textOf({ user: { token: 'static' } }),
  'a token file, which wins over a token': textOf({ user: { tokenFile: 'token', token: 'passed over' } }),
  'an absolute token file': textOf({ user: { tokenFile: join(folder, 'token') } }),
  'certificates in it': textOf({
    cluster: { 'certificate-authority-data': base64('ca') },
    user: { 'client-certificate-data': base64('cert'), 'client-key-data': base64('key') },
  }),
  'certificates beside it, which win over those in it': textOf({
    cluster: { 'certificate-authority': 'ca.crt', 'certificate-authority-data': base64('passed over') },
    user: {
      'client-certificate': 'me.crt',
      'client-certificate-data': base64('passed over'),
      'client-key': './me.key',
    },
  }),
  'no verification, and another name': textOf({
    cluster: { 'insecure-skip-tls-verify': true, 'tls-server-name': 'kubernetes.default' },
  }),
  'verification in so many words': textOf({ cluster: { 'insecure-skip-tls-verify': false } }),
  'a user and a password': textOf({ user: { username: 'alice', password: 'secret' } }),
  'a token besides a user and a password': textOf({
    user: { username: 'alice', password: 'secret', token: 'static' },
  }),
  'no credentials': textOf({}),
  'no namespace': textOf({ context: { namespace: '' }, user: { token: '' } }),
  'a path of its own': textOf({ cluster: { server: `${server}/clusters/one/` } }),
  'notes of others': textOf({
    cluster: { extensions: [{ name: 'minikube', extension: { version: 'v1' } }] },
    context: { extensions: [] },
  }),
  'another user who runs a plugin': textOf({
    more: {
      users: [
        { name: 'other', user: { exec: { command: 'login' } } },
        { name: 'u', user: { token: 'mine' } },
        { name: 'u', user: { token: 'second of that name' } },
      ],
    },
  }),
  YAML: inYaml,
};

describe('a kubeconfig is read the same without the official client and by it', () => {
  it.each(Object.entries(ordinary))('%s', async (_words, text) => {
    const kubeconfig = written(text);
    const plain = readPlainAccess({ kubeconfig }, nowhere);
    expect(plain).toBeDefined();
    expect(await shown(plain)).toEqual(await shown(readOfficialAccess({ kubeconfig })));
  });

  it('another context', async () => {
    const choice = { kubeconfig: written(textOf({ user: { token: 'static' } })), context: 'there' };
    const plain = await shown(readPlainAccess(choice, nowhere));
    expect(plain).toEqual(await shown(readOfficialAccess(choice)));
    expect(plain).toMatchObject({ server, namespace: undefined, authorization: 'Bearer static' });
  });

  it('a file that is not there', async () => {
    const kubeconfig = written(textOf({ user: { tokenFile: 'absent' } }));
    const faults = [readPlainAccess({ kubeconfig }, nowhere), readOfficialAccess({ kubeconfig })].map(
      async (access) => await expect(access?.readCredentials()).rejects.toMatchObject({ code: 'ENOENT' }),
    );
    await Promise.all(faults);
  });
});

describe('to the official client is left', () => {
  it.each<readonly [string, string]>([
    ['an exec plugin', textOf({ user: { exec: { command: 'login' } } })],
    ['an auth provider', textOf({ user: { 'auth-provider': { name: 'oidc' } } })],
    ['impersonation', textOf({ user: { token: 'mine', as: 'bob' } })],
    ['a proxy', textOf({ cluster: { 'proxy-url': 'http://proxy.example' } })],
    ['a key that is not known', textOf({ user: { token: 'mine', 'token-of-tomorrow': 'x' } })],
    ['a token that is no text', textOf({ user: { token: 1234 } })],
    ['a user without a password', textOf({ user: { username: 'alice' } })],
    ['a switch that is no boolean', textOf({ cluster: { 'insecure-skip-tls-verify': 'yes' } })],
    ['a namespace that is no text', textOf({ context: { namespace: 7 } })],
    ['a cluster without a server', textOf({ cluster: { server: '' } })],
    ['a cluster that is not there', textOf({ context: { cluster: 'd' } })],
    ['a user who is not there', textOf({ context: { user: 'v' } })],
    ['a context that is not there', textOf({ more: { 'current-context': 'nowhere' } })],
    ['no list of contexts', textOf({ more: { contexts: 'here' } })],
    ['an entry without a name', textOf({ more: { users: [{ user: {} }] } })],
    ['what is no YAML', 'users: ['],
    ['a key given twice', `${inYaml}\ncurrent-context: there\n`],
    ['a tag of somebody', inYaml.replace(server, `!url ${server}`)],
    ['an empty file', ''],
  ])('%s', (_words, text) => {
    expect(readPlainAccess({ kubeconfig: written(text) }, nowhere)).toBeUndefined();
  });

  it('a file that is not there, and several', () => {
    expect(readPlainAccess({ kubeconfig: join(folder, 'absent') }, nowhere)).toBeUndefined();
    const one = written(textOf({}));
    const KUBECONFIG = [one, written(textOf({}), 'second')].join(delimiter);
    expect(readPlainAccess({}, { ...nowhere, variables: { KUBECONFIG } })).toBeUndefined();
  });
});

describe('where none is named', () => {
  it('KUBECONFIG counts, then the home folder, then the pod', async () => {
    await mkdir(join(folder, '.kube'));
    written(textOf({ user: { token: 'of home' } }), '.kube/config');
    const KUBECONFIG = written(textOf({ user: { token: 'of KUBECONFIG' } }));
    const pod = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };
    const variables = [
      { ...pod, HOME: folder, KUBECONFIG },
      { ...pod, HOME: folder, KUBECONFIG: '' },
      { ...pod, HOME: join(folder, 'absent') },
      {},
    ];
    const authorizations = variables.map(async (given) => {
      const access = readPlainAccess({}, { variables: given, podFolder: folder });
      return (await shown(access)).authorization;
    });
    expect(await Promise.all(authorizations)).toEqual([
      'Bearer of KUBECONFIG',
      'Bearer of home',
      'Bearer token',
      undefined,
    ]);
  });

  it('a pod has an address, a namespace, an authority and a token that is renewed', async () => {
    const variables = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
    const access = readPlainAccess({}, { variables, podFolder: folder });
    expect(await shown(access)).toEqual({
      server: 'https://[fd00::1]:443',
      namespace: 'tiergate\n',
      authorization: 'Bearer token',
      headers: {},
      tls: { ca: Buffer.from('ca.crt\n') },
      agent: undefined,
    });
    writeFileSync(join(folder, 'token'), 'renewed');
    expect((await access?.readCredentials())?.authorization?.reveal()).toBe('Bearer renewed');
    expect(readPlainAccess({ context: 'other' }, { variables, podFolder: folder })).toBeUndefined();
  });
});
