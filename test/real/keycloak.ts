import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFetchJson, type JsonAnswer } from '../../src/fetch-json.ts';
import { createSecret } from '../../src/secret.ts';
import { freePort } from './free-port.ts';
import { partDirectory } from './part-directory.ts';
import { type RunningProcess, startProcess } from './running-process.ts';

/** A Keycloak of the tests' own on loopback, with a clean database. */
export interface Keycloak {
  readonly url: string;
  readonly server: RunningProcess;
  /** The admin API as the master realm's administrator; `path` begins after `/admin`. */
  readonly admin: (
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: unknown,
  ) => Promise<JsonAnswer>;
  readonly createRealm: (name: string) => Promise<KeycloakRealm>;
  readonly stop: () => Promise<void>;
}

export interface KeycloakRealm {
  readonly name: string;
  readonly issuer: string;
  /** May list, create and revoke Initial Access Tokens and give out registration access tokens. */
  readonly renewer: { readonly clientId: string; readonly clientSecret: string };
  readonly issueToken: (
    lifeSeconds: number,
    clients: number,
  ) => Promise<{ readonly id: string; readonly token: string }>;
  readonly revokeToken: (id: string) => Promise<void>;
  /** Undefined: the realm does not list the token. */
  readonly remainingOf: (id: string) => Promise<number | undefined>;
  /** Ids of registered clients, without those that every realm has. */
  readonly clientIds: () => Promise<readonly string[]>;
  readonly setEnabled: (clientId: string, enabled: boolean) => Promise<void>;
  readonly setSecret: (clientId: string, secret: string) => Promise<void>;
}

const java = 'java';
const startTimeoutMs = 120_000;

/** Starts in 10 to 30 s from the database that setup-keycloak.sh left. */
export async function startKeycloak(): Promise<Keycloak> {
  const home = partDirectory('keycloak', 'KEYCLOAK_VERSION');
  const data = await mkdtemp(join(tmpdir(), 'tiergate-keycloak-'));
  await cp(join(home, 'h2-initial'), data, { recursive: true });
  const port = await freePort();
  const managementPort = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = await startProcess({
    name: 'keycloak',
    command: java,
    args: [
      `@${join(import.meta.dirname, 'keycloak', 'jvm.options')}`,
      `-Dkc.home.dir=${home}`,
      `-Djboss.server.config.dir=${join(home, 'conf')}`,
      `-Djava.io.tmpdir=${data}`,
      '-cp',
      join(home, 'lib', 'quarkus-run.jar'),
      'io.quarkus.bootstrap.runner.QuarkusEntryPoint',
      'start',
      '--optimized',
      '--cache=local',
      '--http-enabled=true',
      '--http-host=127.0.0.1',
      `--http-port=${port}`,
      '--http-management-host=127.0.0.1',
      `--http-management-port=${managementPort}`,
      // A fixed host name keeps the issuer the same whichever way a request came.
      `--hostname=${url}`,
      `--db-url=jdbc:h2:file:${join(data, 'keycloakdb')};NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE`,
    ],
    isReady: async () => (await fetch(`http://127.0.0.1:${managementPort}/health/ready`)).ok,
    readyTimeoutMs: startTimeoutMs,
  });
  const admin = createAdmin(url);
  return {
    url,
    server,
    admin,
    createRealm: (name) => createRealm(url, admin, name),
    stop: async () => {
      await server.stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}

const neverStops = new AbortController().signal;

function createAdmin(url: string): Keycloak['admin'] {
  const fetchJson = createFetchJson({ dependency: 'keycloak', timeoutMs: 60_000 });
  const login = async (): Promise<string> => {
    const form = new URLSearchParams({
      grant_type: 'password',
      client_id: 'admin-cli',
      username: 'admin',
      password: 'admin',
    });
    const answer = await fetchJson(
      {
        name: 'login',
        method: 'POST',
        url: `${url}/realms/master/protocol/openid-connect/token`,
        contentType: 'application/x-www-form-urlencoded',
        body: createSecret(form.toString()),
      },
      neverStops,
    );
    return String((answer.body as { readonly access_token: unknown }).access_token);
  };

  return async (method, path, body) => {
    // Its tokens live for a minute; a login for each call is simplest.
    const bearer = createSecret(await login());
    const answer = await fetchJson(
      {
        name: 'admin',
        method,
        url: `${url}/admin${path}`,
        bearer,
        ...(body === undefined ? {} : { body: createSecret(JSON.stringify(body)) }),
      },
      neverStops,
    );
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: HTTP ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer;
  };
}

interface NamedObject {
  readonly id: string;
  readonly name: string;
}

/** A realm with the account that renews tokens, and with the scope that group filters need. */
async function createRealm(url: string, admin: Keycloak['admin'], name: string): Promise<KeycloakRealm> {
  const renewer = { clientId: 'iat-renewer', clientSecret: 'renewer-secret' };
  await admin('POST', '/realms', { realm: name, enabled: true, sslRequired: 'none' });
  await admin('POST', `/realms/${name}/client-scopes`, {
    name: 'regex-filtered-groups',
    protocol: 'openid-connect',
  });
  // A scope of the realm's own list passes the policy "Allowed Client Scopes" of authenticated registrations.
  const scopes = (await admin('GET', `/realms/${name}/client-scopes`)).body as readonly NamedObject[];
  const filter = scopes.find((scope) => scope.name === 'regex-filtered-groups');
  await admin('PUT', `/realms/${name}/default-optional-client-scopes/${filter?.id}`);
  await admin('POST', `/realms/${name}/clients`, {
    clientId: renewer.clientId,
    secret: renewer.clientSecret,
    serviceAccountsEnabled: true,
    standardFlowEnabled: false,
  });
  const user = await serviceAccountOf(admin, name, renewer.clientId);
  const managementId = await uuidOf(admin, name, 'realm-management');
  const roles: unknown[] = [];
  for (const role of ['manage-clients', 'view-clients'])
    roles.push((await admin('GET', `/realms/${name}/clients/${managementId}/roles/${role}`)).body);
  await admin('POST', `/realms/${name}/users/${user}/role-mappings/clients/${managementId}`, roles);
  return {
    name,
    issuer: `${url}/realms/${name}`,
    renewer,
    issueToken: async (lifeSeconds, clients) => {
      const answer = await admin('POST', `/realms/${name}/clients-initial-access`, {
        expiration: lifeSeconds,
        count: clients,
      });
      return answer.body as { readonly id: string; readonly token: string };
    },
    revokeToken: async (id) => {
      await admin('DELETE', `/realms/${name}/clients-initial-access/${id}`);
    },
    remainingOf: async (id) => {
      const answer = await admin('GET', `/realms/${name}/clients-initial-access`);
      const tokens = answer.body as readonly { readonly id: string; readonly remainingCount: number }[];
      return tokens.find((token) => token.id === id)?.remainingCount;
    },
    setEnabled: (clientId, enabled) => editClient(admin, name, clientId, { enabled }),
    setSecret: (clientId, secret) => editClient(admin, name, clientId, { secret }),
    clientIds: async () => {
      const answer = await admin('GET', `/realms/${name}/clients?max=10000`);
      const own = new Set([
        'account',
        'account-console',
        'admin-cli',
        'broker',
        'realm-management',
        'security-admin-console',
      ]);
      return (answer.body as readonly { readonly clientId: string }[])
        .map(({ clientId }) => clientId)
        .filter((id) => !own.has(id) && id !== renewer.clientId)
        .sort();
    },
  };
}

/** As the realm's administrators would, behind the registrar's back. */
async function editClient(
  admin: Keycloak['admin'],
  realm: string,
  clientId: string,
  change: object,
): Promise<void> {
  const path = `/realms/${realm}/clients/${await uuidOf(admin, realm, clientId)}`;
  const { body } = await admin('GET', path);
  await admin('PUT', path, { ...(body as object), ...change });
}

async function uuidOf(admin: Keycloak['admin'], realm: string, clientId: string): Promise<string> {
  const answer = await admin('GET', `/realms/${realm}/clients?clientId=${encodeURIComponent(clientId)}`);
  const [client] = answer.body as readonly { readonly id: string }[];
  if (client === undefined) throw new Error(`${realm} has no client ${clientId}`);
  return client.id;
}

async function serviceAccountOf(admin: Keycloak['admin'], realm: string, clientId: string): Promise<string> {
  const uuid = await uuidOf(admin, realm, clientId);
  const answer = await admin('GET', `/realms/${realm}/clients/${uuid}/service-account-user`);
  return (answer.body as { readonly id: string }).id;
}
