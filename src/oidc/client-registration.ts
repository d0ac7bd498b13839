import { DependencyError } from '../dependency-error.ts';
import { faultFromStatus, type FetchJson, type JsonAnswer, type JsonCall } from '../fetch-json.ts';
import { realmDependency } from '../register/apply.ts';
import type { RegisteredClient, StoredClient } from '../register/client.ts';
import type { Registration, TokenRefusal } from '../register/registration.ts';
import { createSecret, type Secret } from '../secret.ts';
import { defaultDialect } from './default-dialect.ts';
import type { Dialect } from './dialect.ts';
import { readOauthError } from './oauth-error.ts';
import { openidConnectDialect } from './openid-connect-dialect.ts';
import { findClient } from './presence.ts';

/** Keycloak's own endpoint, or the one of RFC 7591 that its discovery document names. */
export type RegistrationEndpoint = 'default' | 'openid-connect';

export const dialects: Readonly<Record<RegistrationEndpoint, Dialect>> = {
  default: defaultDialect,
  'openid-connect': openidConnectDialect,
};

export interface ClientRegistrationOptions {
  /** URL of the realm, without a slash at its end. */
  readonly issuer: string;
  readonly endpoint: RegistrationEndpoint;
  /** With `oidc` as its dependency. */
  readonly fetchJson: FetchJson;
}

/**
 * RFC 7591 and RFC 7592 as Keycloak 26 answers them: 401 for whatever is wrong with a token, told apart by its
 * description only.
 */
export function createClientRegistration(options: ClientRegistrationOptions): Registration {
  const { issuer, fetchJson } = options;
  const dialect = dialects[options.endpoint];
  const endpoint = `${issuer}/${dialect.path}`;
  const clientUri = clientUriAt(issuer, options.endpoint);
  const registered = (call: JsonCall, body: unknown): { outcome: 'registered'; client: RegisteredClient } => {
    const client = dialect.read(body, clientUri);
    if (client === undefined) throw unreadable(call);
    return { outcome: 'registered', client };
  };
  const fetchClient = async (
    stored: StoredClient,
    signal: AbortSignal,
  ): Promise<JsonAnswer & { call: JsonCall }> => {
    const call: JsonCall = { ...clientCall(stored), name: 'read_client', method: 'GET' };
    return { ...(await fetchJson(call, signal)), call };
  };

  return {
    choosesCredentials: dialect.choosesCredentials,
    supportsAttributes: dialect.supportsAttributes,
    clientUri,
    find: (clientId, clientSecret, signal) =>
      findClient({ issuer, fetchJson }, { clientId, clientSecret }, signal),

    register: async (desired, clientSecret, initialAccessToken, signal) => {
      const body = jsonBody(dialect.registration(desired, clientSecret));
      const call: JsonCall = {
        name: 'register_client',
        method: 'POST',
        url: endpoint,
        bearer: initialAccessToken,
        body,
      };
      const answer = await fetchJson(call, signal);
      if (answer.status === 201) return registered(call, answer.body);
      const { error, description } = readOauthError(answer.body);
      if (answer.status === 401) return { outcome: 'token_refused', reason: refusalFrom(description) };
      if (description === 'Client Identifier in use') return { outcome: 'identifier_taken' };
      if (isRefusal(answer.status) && error !== '')
        return { outcome: 'refused', detail: `${error}: ${description}` };
      throw faultFromStatus(realmDependency, call, answer.status);
    },

    read: async (stored, signal) => {
      const { status, body, call } = await fetchClient(stored, signal);
      if (status === 200) return registered(call, body);
      if (status === 401) return { outcome: 'token_refused' };
      throw faultFromStatus(realmDependency, call, status);
    },

    update: async (stored, desired, signal) => {
      const current = await fetchClient(stored, signal);
      if (current.status === 401) return { outcome: 'token_refused' };
      if (current.status !== 200) throw faultFromStatus(realmDependency, current.call, current.status);
      // A GET may have answered with a newer form of the token; it is as valid as the one it was asked with.
      const { client } = registered(current.call, current.body);
      const body = jsonBody(dialect.update(desired, Object(current.body) as object));
      const bearer = client.registrationAccessToken;
      const call: JsonCall = { ...clientCall(stored), name: 'update_client', method: 'PUT', bearer, body };
      const answer = await fetchJson(call, signal);
      if (answer.status === 200) return registered(call, answer.body);
      if (answer.status === 401) return { outcome: 'token_refused' };
      const { error, description } = readOauthError(answer.body);
      if (isRefusal(answer.status) && error !== '')
        return { outcome: 'refused', detail: `${error}: ${description}` };
      throw faultFromStatus(realmDependency, call, answer.status);
    },

    remove: async (stored, signal) => {
      const call: JsonCall = { ...clientCall(stored), name: 'delete_client', method: 'DELETE' };
      const { status } = await fetchJson(call, signal);
      if (status === 204 || status === 200) return 'removed';
      if (status === 401) return 'token_refused';
      throw faultFromStatus(realmDependency, call, status);
    },

    probe: async (token, signal) => {
      const body = jsonBody(dialect.impossible);
      const call: JsonCall = { name: 'probe_token', method: 'POST', url: endpoint, bearer: token, body };
      const answer = await fetchJson(call, signal);
      const { error, description } = readOauthError(answer.body);
      if (answer.status === 401) return refusalFrom(description);
      if (answer.status === 400 && error === 'invalid_redirect_uri') return 'usable';
      throw faultFromStatus(realmDependency, call, answer.status);
    },
  };
}

/** Where a client's own endpoint is (RFC 7592 section 3). */
export function clientUriAt(issuer: string, endpoint: RegistrationEndpoint): (clientId: string) => string {
  return (clientId) => `${issuer}/${dialects[endpoint].path}/${encodeURIComponent(clientId)}`;
}

function clientCall(stored: StoredClient): Pick<JsonCall, 'url' | 'bearer'> {
  // Without a token the realm refuses, as it does with one that is worth nothing.
  const bearer = stored.registrationAccessToken;
  return { url: stored.registrationClientUri, ...(bearer && { bearer }) };
}

function jsonBody(body: object): Secret {
  return createSecret(JSON.stringify(body));
}

/** The client's metadata is what is refused: any 4xx that is not about us, our haste or the address. */
function isRefusal(status: number): boolean {
  return status === 400 || status === 403;
}

function refusalFrom(description: string): TokenRefusal {
  if (description === 'No remaining count on initial access token') return 'exhausted';
  if (description === 'Initial Access Token not found') return 'unknown';
  return 'undecodable';
}

function unreadable(call: JsonCall): DependencyError {
  return new DependencyError(realmDependency, 'malformed', {
    detail: `${call.name} was answered with something that is no client`,
  });
}
