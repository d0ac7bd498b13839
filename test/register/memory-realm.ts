import type { RegisteredClient, StoredClient } from '../../src/register/client.ts';
import { decodeIat } from '../../src/register/iat-token.ts';
import type { Administration, Registration, TokenRefusal } from '../../src/register/registration.ts';
import { createSecret, type Secret } from '../../src/secret.ts';

interface Client {
  secret: string;
  /** The only registration access token that is taken. */
  token: string;
  redirectUris: readonly string[];
  scopes: readonly string[];
  attributes: Readonly<Record<string, string>>;
}

interface InitialToken {
  remaining: number;
}

export interface MemoryRealm {
  readonly issuer: string;
  readonly registration: Registration;
  readonly administration: Administration;
  readonly clients: ReadonlyMap<string, Client>;
  readonly tokens: ReadonlyMap<string, InitialToken>;
  /** Requests that changed something. */
  readonly changes: () => number;
  readonly issueToken: (lifeMs: number, clients: number) => { readonly id: string; readonly token: string };
  /** As an administrator would behind our back. */
  readonly revokeToken: (id: string) => void;
  /** From now on no Initial Access Token of before can be verified. */
  readonly loseSigningKey: () => void;
  readonly editClient: (id: string, edit: Partial<Client>) => void;
  readonly deleteClient: (id: string) => void;
  readonly breakTokenOf: (id: string) => void;
}

/** A realm in memory that answers as Keycloak 26.7.3 was seen to: counts, rotation, one refusal for all reasons. */
export function createMemoryRealm(issuer: string, now: () => number): MemoryRealm {
  const clients = new Map<string, Client>();
  const tokens = new Map<string, InitialToken>();
  let serial = 0;
  let changes = 0;
  let hasLostKey = false;
  const next = (prefix: string): string => {
    serial += 1;
    return `${prefix}-${serial}`;
  };

  const describe = (id: string, client: Client): RegisteredClient => ({
    clientId: id,
    clientSecret: createSecret(client.secret),
    registrationAccessToken: createSecret(client.token),
    registrationClientUri: `${issuer}/clients-registrations/default/${id}`,
    redirectUris: client.redirectUris,
    scopes: client.scopes,
    attributes: client.attributes,
  });

  const owned = (stored: StoredClient): Client | undefined => {
    const client = clients.get(stored.clientId);
    return client?.token === stored.registrationAccessToken?.reveal() ? client : undefined;
  };

  const judge = (token: Secret): 'usable' | TokenRefusal => {
    const claims = decodeIat(token);
    if (
      hasLostKey ||
      claims === undefined ||
      claims.issuer !== issuer ||
      (claims.expiresAtMs ?? Infinity) <= now()
    )
      return 'undecodable';
    const known = tokens.get(claims.id ?? '');
    if (known === undefined) return 'unknown';
    return known.remaining > 0 ? 'usable' : 'exhausted';
  };

  const registration: Registration = {
    choosesCredentials: true,
    supportsAttributes: true,
    clientUri: (id) => `${issuer}/clients-registrations/default/${id}`,
    probe: async (token) => judge(token),
    register: async (desired, clientSecret, token) => {
      const verdict = judge(token);
      if (verdict !== 'usable') return { outcome: 'token_refused', reason: verdict };
      if (clients.has(desired.id)) return { outcome: 'identifier_taken' };
      if (desired.scopes.includes('forbidden')) return { outcome: 'refused', detail: 'scope not allowed' };
      const initial = tokens.get(decodeIat(token)?.id ?? '');
      if (initial !== undefined) initial.remaining -= 1;
      changes += 1;
      const client: Client = {
        secret: clientSecret.reveal(),
        token: next('rat'),
        redirectUris: desired.redirectUris,
        scopes: desired.scopes,
        attributes: desired.attributes,
      };
      clients.set(desired.id, client);
      return { outcome: 'registered', client: describe(desired.id, client) };
    },
    read: async (stored) => {
      const client = owned(stored);
      if (client === undefined) return { outcome: 'token_refused' };
      return { outcome: 'registered', client: describe(stored.clientId, client) };
    },
    update: async (stored, desired) => {
      const client = owned(stored);
      if (client === undefined) return { outcome: 'token_refused' };
      changes += 1;
      Object.assign(client, {
        token: next('rat'),
        redirectUris: desired.redirectUris,
        scopes: desired.scopes,
        attributes: desired.attributes,
      });
      return { outcome: 'registered', client: describe(stored.clientId, client) };
    },
    remove: async (stored) => {
      if (owned(stored) === undefined) return 'token_refused';
      changes += 1;
      clients.delete(stored.clientId);
      return 'removed';
    },
    find: async (clientId, secret) => {
      const client = clients.get(clientId);
      if (client === undefined) return 'gone';
      return client.secret === secret.reveal() ? 'present' : 'other_secret';
    },
  };

  const issueToken = (lifeMs: number, count: number) => {
    const id = next('iat');
    tokens.set(id, { remaining: count });
    const issuedAt = Math.floor(now() / 1000);
    return { id, token: iatText({ jti: id, iss: issuer, iat: issuedAt, exp: issuedAt + lifeMs / 1000 }) };
  };

  const administration: Administration = {
    recoverClient: async ({ value }) => {
      const client = clients.get(value);
      if (client === undefined) return undefined;
      changes += 1;
      client.token = next('rat');
      return describe(value, client);
    },
    listTokens: async () => [...tokens].map(([id, { remaining }]) => ({ id, remaining })),
    createToken: async (lifeMs, count) => {
      changes += 1;
      const { id, token } = issueToken(lifeMs, count);
      return { id, token: createSecret(token) };
    },
    revokeToken: async (id) => {
      changes += 1;
      tokens.delete(id);
    },
  };

  return {
    issuer,
    registration,
    administration,
    clients,
    tokens,
    changes: () => changes,
    issueToken,
    revokeToken: (id) => void tokens.delete(id),
    loseSigningKey: () => {
      hasLostKey = true;
    },
    editClient: (id, edit) => void Object.assign(clients.get(id) ?? {}, edit),
    deleteClient: (id) => void clients.delete(id),
    breakTokenOf: (id) => void Object.assign(clients.get(id) ?? {}, { token: next('rat') }),
  };
}

/** An Initial Access Token as the realm would sign it; nobody but the realm could check the signature. */
export function iatText(claims: Readonly<Record<string, unknown>>): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS512', kid: 'k1' })}.${part({ typ: 'InitialAccessToken', ...claims })}.c2lnbmF0dXJl`;
}
