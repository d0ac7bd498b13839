import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFetchJson, type JsonAnswer } from '../../src/fetch-json.ts';
import { createSecret } from '../../src/secret.ts';
import { freePort } from './free-port.ts';
import { partDirectory } from './part-directory.ts';
import { type RunningProcess, startProcess } from './running-process.ts';

/** A Vault of the tests' own on loopback, in memory: KV v2 at `secret/`, v1 at `legacy/`, AppRole. */
export interface Vault {
  readonly url: string;
  readonly server: RunningProcess;
  readonly roleId: string;
  readonly secretId: string;
  /** May read and list `secret/`, nothing else. */
  readonly reader: { readonly roleId: string; readonly secretId: string };
  /** As root; `path` begins after `/v1/`. */
  readonly admin: (
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: unknown,
  ) => Promise<JsonAnswer>;
  /** Revokes every login that came by AppRole. */
  readonly expireLogins: () => Promise<void>;
  readonly setSealed: (isSealed: boolean) => Promise<void>;
  /** Deletes the last version below `secret/` and leaves the key. */
  readonly softDelete: (key: string) => Promise<void>;
  readonly stop: () => Promise<void>;
}

const rootToken = 'root-of-the-tests';

/** Ready within a second. */
export async function startVault(): Promise<Vault> {
  const binary = join(partDirectory('vault', 'VAULT_VERSION'), 'vault');
  const home = await mkdtemp(join(tmpdir(), 'tiergate-vault-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = await startProcess({
    name: 'vault',
    command: binary,
    args: [
      'server',
      '-dev',
      '-dev-no-store-token',
      `-dev-root-token-id=${rootToken}`,
      `-dev-listen-address=127.0.0.1:${port}`,
    ],
    env: { HOME: home, SKIP_SETCAP: 'true' },
    isReady: async () => (await fetch(`${url}/v1/sys/health`)).ok,
  });
  const admin = createAdmin(url);
  await admin('POST', 'sys/mounts/legacy', { type: 'kv', options: { version: '1' } });
  await admin('POST', 'sys/auth/approle', { type: 'approle' });
  const all = '{ capabilities = ["create", "read", "update", "delete", "list"] }';
  const registrar = await createRole(admin, 'registrar', `path "secret/*" ${all} path "legacy/*" ${all}`);
  const reader = await createRole(admin, 'reader', 'path "secret/*" { capabilities = ["read", "list"] }');
  return {
    url,
    server,
    ...registrar,
    reader,
    admin,
    expireLogins: async () => {
      await admin('PUT', 'sys/leases/revoke-prefix/auth/approle/login');
    },
    setSealed: async (isSealed) => {
      if (isSealed) await admin('PUT', 'sys/seal');
      else await admin('PUT', 'sys/unseal', { key: await readUnsealKey(server.logPath) });
    },
    softDelete: async (key) => {
      await admin('DELETE', `secret/data/${key}`);
    },
    stop: async () => {
      await server.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

const neverStops = new AbortController().signal;

function createAdmin(url: string): Vault['admin'] {
  const fetchJson = createFetchJson({ dependency: 'vault', timeoutMs: 20_000 });
  return async (method, path, body) => {
    const answer = await fetchJson(
      {
        name: 'admin',
        method,
        url: `${url}/v1/${path}`,
        headers: { 'x-vault-token': createSecret(rootToken) },
        ...(body === undefined ? {} : { body: createSecret(JSON.stringify(body)) }),
      },
      neverStops,
    );
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: HTTP ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer;
  };
}

async function createRole(
  admin: Vault['admin'],
  name: string,
  policy: string,
): Promise<{ readonly roleId: string; readonly secretId: string }> {
  await admin('PUT', `sys/policies/acl/${name}`, { policy });
  await admin('POST', `auth/approle/role/${name}`, { token_policies: name, token_ttl: '1h' });
  const role = await admin('GET', `auth/approle/role/${name}/role-id`);
  const secret = await admin('POST', `auth/approle/role/${name}/secret-id`, {});
  return {
    roleId: (role.body as { readonly data: { readonly role_id: string } }).data.role_id,
    secretId: (secret.body as { readonly data: { readonly secret_id: string } }).data.secret_id,
  };
}

/** A development server prints the one key that opens it. */
async function readUnsealKey(logPath: string): Promise<string> {
  const key = /^Unseal Key: (\S+)$/m.exec(await readFile(logPath, 'utf8'))?.[1];
  if (key === undefined) throw new Error(`${logPath} shows no unseal key`);
  return key;
}
