import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFetchJson } from '../../src/fetch-json.ts';
import { parseConfig } from '../../src/process/config.ts';
import { registrarSchema, resolveRegistrarPaths } from '../../src/process/registrar-config.ts';
import type { ProgramIo } from '../../src/programs/program.ts';
import type { RegistrarFile } from '../../src/programs/registrar-config-file.ts';
import { createSecret } from '../../src/secret.ts';
import { createKvStore, type KvStore } from '../../src/vault/kv-store.ts';
import { createVaultClient } from '../../src/vault/vault-client.ts';

/** A realm and a Vault to run the registrar's programs against: real ones, or stand-ins. */
export interface RegistrarOutside {
  readonly realm: {
    readonly issuer: string;
    readonly renewer: { readonly clientId: string; readonly clientSecret: string };
    readonly issueToken: (
      lifeSeconds: number,
      clients: number,
    ) => Promise<{ readonly id: string; readonly token: string }>;
  };
  readonly vault: { readonly url: string; readonly roleId: string; readonly secretId: string };
}

export interface RegistrarWorld {
  readonly file: (change?: Readonly<Record<string, unknown>>) => RegistrarFile;
  /** The section as it stands in a process file. */
  readonly section: (change?: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;
  readonly writeInventory: (text: string) => Promise<void>;
  /** A folder of Vault's, read and written as somebody else would. */
  readonly open: (path: string) => KvStore;
  readonly recordsPath: string;
  readonly tokenPath: string;
  readonly directory: string;
  readonly remove: () => Promise<void>;
}

let serial = 0;

export async function createRegistrarWorld({ realm, vault }: RegistrarOutside): Promise<RegistrarWorld> {
  serial += 1;
  const directory = await mkdtemp(join(tmpdir(), 'tiergate-registrar-'));
  const secrets = { role: vault.roleId, secret: vault.secretId, renewer: realm.renewer.clientSecret };
  for (const [name, text] of Object.entries(secrets))
    await writeFile(join(directory, name), text, { mode: 0o600 });
  const root = `secret/world-${process.pid}-${serial}`;
  const [recordsPath, tokenPath] = [`${root}/clients`, `${root}/creds/sso.example.com`];
  const client = createVaultClient({
    url: vault.url,
    namespace: undefined,
    login: {
      method: 'approle',
      mount: 'approle',
      roleId: async () => createSecret(vault.roleId),
      secretId: async () => createSecret(vault.secretId),
    },
    fetchJson: createFetchJson({ dependency: 'vault', timeoutMs: 10_000 }),
    now: Date.now,
  });

  const section: RegistrarWorld['section'] = (change = {}) => ({
    listeners: { ops: { address: '127.0.0.1:0' } },
    interval: '1s',
    escalation: 'the identity team, #sso-help',
    requester: 'the platform SREs',
    clusters: { file: 'clusters.yaml' },
    defaultIssuer: realm.issuer,
    store: { vault: { path: recordsPath } },
    vault: { url: vault.url, appRole: { roleIdFile: 'role', secretIdFile: 'secret' } },
    instances: [instance(realm, tokenPath)],
    removal: { absentAfter: '0s', replacedAfter: '0s' },
    ...change,
  });
  return {
    section,
    file: (change) => ({
      // What else stands in the file is of no interest to these programs.
      config: parseConfig('limits: {store: memory}', { file: 'test', folder: directory }),
      registrar: resolveRegistrarPaths(registrarSchema.parse(section(change)), (path) =>
        join(directory, path),
      ),
    }),
    writeInventory: async (text) => {
      // Whole or not at all: a registrar that is running reads it at any time.
      await writeFile(join(directory, 'clusters.new'), text);
      await rename(join(directory, 'clusters.new'), join(directory, 'clusters.yaml'));
    },
    open: (path) => createKvStore({ client, path }),
    recordsPath,
    tokenPath,
    directory,
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

/** The one instance of these worlds, as it stands in a process file. */
export function instance(
  realm: Pick<RegistrarOutside['realm'], 'issuer' | 'renewer'>,
  tokenPath: string,
  change: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return {
    name: 'sso.example.com',
    environment: 'prod',
    issuer: realm.issuer,
    token: { vault: tokenPath },
    ...change,
  };
}

export const administered = (realm: Pick<RegistrarOutside['realm'], 'renewer'>) => ({
  admin: { clientId: realm.renewer.clientId, clientSecretFile: 'renewer' },
});

export interface RecordedIo extends ProgramIo {
  readonly output: () => string;
  readonly errors: () => string;
}

export function recordIo(input = ''): RecordedIo {
  const [out, err]: [string[], string[]] = [[], []];
  return {
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    readInput: async () => input,
    env: {},
    output: () => out.join('\n'),
    errors: () => err.join('\n'),
  };
}

/** An inventory of so many clusters, as YAML. */
export function inventory(names: readonly string[], extra = ''): string {
  const entries = names.map(
    (name) =>
      `- {name: ${name}, organizationId: 1Org2, consoleUrl: "https://console-openshift-console.apps.${name}.example.com"${extra}}`,
  );
  return `${entries.join('\n')}\n`;
}
