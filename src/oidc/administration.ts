import { z } from 'zod';
import { DependencyError } from '../dependency-error.ts';
import { faultFromStatus, type FetchJson, type JsonAnswer, type JsonCall } from '../fetch-json.ts';
import { realmDependency } from '../register/apply.ts';
import type { Administration, ClientReference } from '../register/registration.ts';
import { createSecret, type Secret } from '../secret.ts';
import { clientUriAt, dialects, type RegistrationEndpoint } from './client-registration.ts';
import { basicAuthorization } from './presence.ts';

export interface AdministrationOptions {
  /** URL of the realm, `…/realms/<name>`. */
  readonly issuer: string;
  /** Through which recovered clients are reached afterwards. */
  readonly endpoint: RegistrationEndpoint;
  /** A service account of this realm with `manage-clients` (and `view-clients`, to count and to recover). */
  readonly clientId: string;
  /** Read at every login, so that a renewed secret is taken up. */
  readonly clientSecret: () => Promise<Secret>;
  readonly fetchJson: FetchJson;
  readonly now: () => number;
}

const tokenAnswer = z.object({ access_token: z.string(), expires_in: z.number() });
const listedTokens = z.array(z.object({ id: z.string(), remainingCount: z.number() }));
const createdToken = z.object({ id: z.string(), token: z.string() });
const listedClients = z.array(
  z.object({ id: z.string(), clientId: z.string(), name: z.string().optional() }),
);
const clientSecretAnswer = z.object({ value: z.string() });

/** An access token this close to its end is not used any more. */
const leewayMs = 30_000;
const pageSize = 200;

/** Keycloak's admin API, the six calls of it that are needed. */
export function createAdministration(options: AdministrationOptions): Administration {
  const { issuer, fetchJson } = options;
  const base = adminUrl(issuer);
  const authorized = createAuthorizedFetch(options);
  const dialect = dialects.default;
  const clientUri = clientUriAt(issuer, options.endpoint);

  const findClient = async (reference: ClientReference, signal: AbortSignal) => {
    for (let first = 0; ; first += pageSize) {
      const query = reference.by === 'clientId' ? `clientId=${encodeURIComponent(reference.value)}&` : '';
      const url = `${base}/clients?${query}first=${first}&max=${pageSize}`;
      const call: JsonCall = { name: 'admin_find_client', method: 'GET', url };
      const page = parsed(call, await authorized(call, signal), listedClients);
      const found = page.find((client) => client[reference.by] === reference.value);
      if (found !== undefined || page.length < pageSize) return found;
    }
  };

  return {
    recoverClient: async (reference, signal) => {
      const found = await findClient(reference, signal);
      if (found === undefined) return undefined;
      const url = `${base}/clients/${found.id}`;
      const secretCall: JsonCall = {
        name: 'admin_client_secret',
        method: 'GET',
        url: `${url}/client-secret`,
      };
      const secret = parsed(secretCall, await authorized(secretCall, signal), clientSecretAnswer).value;
      // Last, since it kills the token that was valid until now.
      const call: JsonCall = {
        name: 'admin_registration_token',
        method: 'POST',
        url: `${url}/registration-access-token`,
      };
      const { body } = accepted(call, await authorized(call, signal));
      const client = dialect.read(body, clientUri);
      if (client === undefined) throw malformed(call);
      // The representation shows asterisks in the secret's place. Scopes are compared only where the endpoint,
      // through which the client is looked at from now on, tells them.
      const scopes = options.endpoint === 'default' ? client.scopes : undefined;
      return { ...client, scopes, clientSecret: createSecret(secret) };
    },

    listTokens: async (signal) => {
      const call: JsonCall = {
        name: 'admin_list_tokens',
        method: 'GET',
        url: `${base}/clients-initial-access`,
      };
      const list = parsed(call, await authorized(call, signal), listedTokens);
      return list.map(({ id, remainingCount }) => ({ id, remaining: remainingCount }));
    },

    createToken: async (lifeMs, clients, signal) => {
      const call: JsonCall = {
        name: 'admin_create_token',
        method: 'POST',
        url: `${base}/clients-initial-access`,
        body: createSecret(JSON.stringify({ expiration: Math.round(lifeMs / 1000), count: clients })),
      };
      const { id, token } = parsed(call, await authorized(call, signal), createdToken);
      return { id, token: createSecret(token) };
    },

    revokeToken: async (id, signal) => {
      const url = `${base}/clients-initial-access/${encodeURIComponent(id)}`;
      const call: JsonCall = { name: 'admin_revoke_token', method: 'DELETE', url };
      const answer = await authorized(call, signal);
      if (answer.status !== 404) accepted(call, answer);
    },
  };

  function createAuthorizedFetch({ clientId, clientSecret, now }: AdministrationOptions): FetchJson {
    let login: { readonly token: Secret; readonly endsAtMs: number } | undefined;

    const logIn = async (signal: AbortSignal): Promise<Secret> => {
      const call: JsonCall = {
        name: 'admin_login',
        method: 'POST',
        url: `${issuer}/protocol/openid-connect/token`,
        headers: { authorization: basicAuthorization({ clientId, clientSecret: await clientSecret() }) },
        contentType: 'application/x-www-form-urlencoded',
        body: createSecret('grant_type=client_credentials'),
      };
      const { access_token, expires_in } = parsed(call, await fetchJson(call, signal), tokenAnswer);
      const token = createSecret(access_token);
      login = { token, endsAtMs: now() + expires_in * 1000 - leewayMs };
      return token;
    };

    return async (call, signal) => {
      const bearer = login !== undefined && login.endsAtMs > now() ? login.token : await logIn(signal);
      const answer = await fetchJson({ ...call, bearer }, signal);
      if (answer.status !== 401) return answer;
      // The realm's keys changed, or the session was ended: once more with a new login.
      return fetchJson({ ...call, bearer: await logIn(signal) }, signal);
    };
  }
}

/** `https://host/auth/realms/x` is administered at `https://host/auth/admin/realms/x`. */
function adminUrl(issuer: string): string {
  return issuer.replace(/\/realms\/([^/]+)$/, '/admin/realms/$1');
}

function accepted(call: JsonCall, answer: JsonAnswer): JsonAnswer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw faultFromStatus(realmDependency, call, answer.status);
}

function parsed<T>(call: JsonCall, answer: JsonAnswer, schema: z.ZodType<T>): T {
  const result = schema.safeParse(accepted(call, answer).body);
  if (!result.success) throw malformed(call);
  return result.data;
}

/** Not zod's own words: they may quote what was answered. */
function malformed(call: JsonCall): DependencyError {
  return new DependencyError(realmDependency, 'malformed', {
    detail: `${call.name} was answered with something else than it should be`,
  });
}
