import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { textOf } from '../../src/register/document-store.ts';
import { iatText } from '../register/memory-realm.ts';

interface Client {
  readonly uuid: string;
  readonly clientId: string;
  name: string;
  secret: string;
  /** `jti` of the only registration access token that is taken. */
  token: string;
  enabled: boolean;
  redirectUris: readonly string[];
  scopes: readonly string[];
  attributes: Record<string, string>;
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly bearer: string;
  readonly basic: readonly [string, string];
  readonly body: Record<string, unknown>;
}

type Answer = readonly [status: number, body?: unknown];

export interface KeycloakStandIn {
  readonly issuer: string;
  readonly renewer: { readonly clientId: string; readonly clientSecret: string };
  readonly issueToken: (
    lifeSeconds: number,
    clients: number,
  ) => Promise<{ readonly id: string; readonly token: string }>;
  readonly revokeToken: (id: string) => Promise<void>;
  readonly remainingOf: (id: string) => Promise<number | undefined>;
  readonly clientIds: () => Promise<readonly string[]>;
  readonly setEnabled: (clientId: string, enabled: boolean) => Promise<void>;
  readonly setSecret: (clientId: string, secret: string) => Promise<void>;
  /** Ends every login of an administrator. */
  readonly endSessions: () => void;
  readonly requests: () => readonly string[];
  readonly stop: () => Promise<void>;
}

const refused = (error: string, description: string, status = 401): Answer => [
  status,
  { error, error_description: description },
];
const noUpdate = refused(
  'invalid_token',
  'Not authorized to update client. Maybe missing token or bad token type.',
);
const noView = refused(
  'invalid_token',
  'Not authorized to view client. Not valid token or client credentials provided.',
);
const badClient = (error: string): Answer => refused(error, 'Invalid client or Invalid client credentials');

/**
 * The part of Keycloak that the registrar talks to, on loopback, answering status for status and word for word
 * as 26.7.3 does; the contract suite runs against both.
 */
export async function startKeycloakStandIn(realmName = 'staff'): Promise<KeycloakStandIn> {
  const clients = new Map<string, Client>();
  const initialTokens = new Map<string, { remaining: number; expiresAt: number }>();
  const renewer = { clientId: 'iat-renewer', clientSecret: 'renewer-secret' };
  const requests: string[] = [];
  let logins = new Set<string>();
  let issuer = '';

  const issue = (lifeSeconds: number, count: number): { id: string; token: string } => {
    const id = randomUUID();
    const issuedAt = Math.floor(Date.now() / 1000);
    const expiresAt = lifeSeconds === 0 ? 0 : issuedAt + lifeSeconds;
    initialTokens.set(id, { remaining: count, expiresAt });
    return { id, token: iatText({ exp: expiresAt, iat: issuedAt, jti: id, iss: issuer, aud: issuer }) };
  };

  const registrationToken = (client: Client): string =>
    iatText({ exp: 0, jti: client.token, iss: issuer, typ: 'RegistrationAccessToken' });

  const claimsOf = (token: string): Record<string, unknown> | undefined => {
    try {
      return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
        string,
        unknown
      >;
    } catch {
      return undefined;
    }
  };

  const represent = (client: Client, isOpenid: boolean): Record<string, unknown> =>
    isOpenid
      ? {
          client_id: client.clientId,
          client_name: client.name,
          client_secret: client.secret,
          redirect_uris: client.redirectUris,
          scope: client.scopes.filter((scope) => !['web-origins', 'acr', 'roles'].includes(scope)).join(' '),
          registration_access_token: registrationToken(client),
          registration_client_uri: `${issuer}/clients-registrations/openid-connect/${client.clientId}`,
          client_secret_expires_at: 0,
        }
      : {
          id: client.uuid,
          clientId: client.clientId,
          name: client.name,
          secret: client.secret,
          registrationAccessToken: registrationToken(client),
          redirectUris: client.redirectUris,
          defaultClientScopes: client.scopes,
          attributes: { realm_client: 'false', ...client.attributes },
          publicClient: false,
        };

  /** What is wrong with an Initial Access Token, in the server's order of looking. */
  const judge = (token: string): Answer | undefined => {
    const claims = claimsOf(token);
    const exp = Number(claims?.['exp'] ?? 0);
    if (claims === undefined || claims['iss'] !== issuer || (exp !== 0 && exp * 1000 <= Date.now()))
      return refused('invalid_token', 'Failed decode token');
    const known = initialTokens.get(String(claims['jti']));
    if (known === undefined) return refused('invalid_token', 'Initial Access Token not found');
    return known.remaining > 0
      ? undefined
      : refused('invalid_token', 'No remaining count on initial access token');
  };

  const urisOf = (body: Record<string, unknown>): readonly string[] =>
    (body['redirectUris'] ?? body['redirect_uris'] ?? []) as readonly string[];

  const register = (request: Request, isOpenid: boolean): Answer => {
    const complaint = judge(request.bearer);
    if (complaint !== undefined) return complaint;
    const { body } = request;
    const clientId = isOpenid ? randomUUID() : (textOf(body['clientId']) ?? randomUUID());
    if (clients.has(clientId)) return refused('invalid_client_metadata', 'Client Identifier in use', 400);
    if (!urisOf(body).every((uri) => URL.canParse(uri)))
      return refused('invalid_redirect_uri', 'A redirect URI is not a valid URI', 400);
    const scopes = (body['defaultClientScopes'] ??
      (textOf(body['scope']) ?? '').split(' ')) as readonly string[];
    if (scopes.includes('nobody-knows-it'))
      return refused(
        'insufficient_scope',
        "Policy 'Allowed Client Scopes' rejected request to client-registration service. Details: Not permitted to use specified clientScope",
        403,
      );
    const used = initialTokens.get(String(claimsOf(request.bearer)?.['jti']));
    if (used !== undefined) used.remaining -= 1;
    const client: Client = {
      uuid: randomUUID(),
      clientId,
      name: textOf(body['client_name']) ?? textOf(body['name']) ?? '',
      secret: textOf(body['secret']) ?? randomBytes(20).toString('hex'),
      token: randomUUID(),
      enabled: true,
      redirectUris: urisOf(body),
      scopes,
      attributes: (body['attributes'] ?? {}) as Record<string, string>,
    };
    clients.set(clientId, client);
    return [201, represent(client, isOpenid)];
  };

  const own = (request: Request, clientId: string): Client | undefined => {
    const client = clients.get(clientId);
    const claims = claimsOf(request.bearer);
    const isValid = claims?.['typ'] === 'RegistrationAccessToken' && claims['jti'] === client?.token;
    return isValid && client?.enabled === true ? client : undefined;
  };

  const manage = (request: Request, clientId: string, isOpenid: boolean): Answer => {
    const client = own(request, clientId);
    const { body } = request;
    if (client === undefined) return request.method === 'GET' ? noView : noUpdate;
    if (request.method === 'DELETE') {
      clients.delete(clientId);
      return [204];
    }
    if (request.method === 'GET') return [200, represent(client, isOpenid)];
    if ((body['clientId'] ?? body['client_id']) !== clientId)
      return refused('invalid_client_metadata', 'Client Identifier modified', 400);
    client.token = randomUUID();
    client.redirectUris = urisOf(body);
    client.scopes = (body['defaultClientScopes'] ??
      (textOf(body['scope']) ?? '').split(' ')) as readonly string[];
    for (const [name, value] of Object.entries((body['attributes'] ?? {}) as Record<string, string>)) {
      if (value === '') delete client.attributes[name];
      else client.attributes[name] = value;
    }
    return [200, represent(client, isOpenid)];
  };

  const token = ({ basic: [id, secret] }: Request): Answer => {
    if (id === renewer.clientId && secret === renewer.clientSecret) {
      const login = randomUUID();
      logins.add(login);
      return [200, { access_token: login, expires_in: 300 }];
    }
    const client = clients.get(id);
    if (client === undefined || !client.enabled) return badClient('invalid_client');
    return client.secret === secret
      ? refused('unauthorized_client', 'Client not enabled to retrieve service account')
      : badClient('unauthorized_client');
  };

  const auth = ({ query }: Request): Answer => {
    const client = clients.get(query.get('client_id') ?? '');
    if (client === undefined) return [400, { error: 'Client not found.' }];
    return [400, { error: client.enabled ? 'Invalid parameter: redirect_uri' : 'Client disabled.' }];
  };

  const administer = (request: Request, path: string): Answer => {
    if (!logins.has(request.bearer)) return [401, { error: 'HTTP 401 Unauthorized' }];
    const [collection, id = '', action] = path.split('/');
    if (collection === 'clients-initial-access') return administerTokens(request, decodeURIComponent(id));
    if (id === '') {
      const wanted = request.query.get('clientId');
      const found = [...clients.values()].filter(({ clientId }) => wanted === null || clientId === wanted);
      const first = Number(request.query.get('first') ?? 0);
      const page = found.slice(first, first + Number(request.query.get('max') ?? 100));
      return [200, page.map(({ uuid, clientId, name }) => ({ id: uuid, clientId, name }))];
    }
    const client = [...clients.values()].find(({ uuid }) => uuid === id);
    if (client === undefined) return [404, { error: 'Could not find client' }];
    if (action === 'client-secret') return [200, { type: 'secret', value: client.secret }];
    client.token = randomUUID();
    return [200, { ...represent(client, false), secret: '**********' }];
  };

  const administerTokens = ({ method, body }: Request, id: string): Answer => {
    if (method === 'DELETE') {
      initialTokens.delete(id);
      return [204];
    }
    if (method === 'GET')
      return [
        200,
        [...initialTokens].map(([tokenId, { remaining }]) => ({ id: tokenId, remainingCount: remaining })),
      ];
    const count = Number(body['count']);
    return [201, { ...issue(Number(body['expiration']), count), count, remainingCount: count }];
  };

  const answer = (request: Request): Answer => {
    const realm = `/realms/${realmName}/`;
    if (request.path.startsWith(`/admin${realm}`))
      return administer(request, request.path.slice(`/admin${realm}`.length));
    const [area, kind, ...rest] = request.path.slice(realm.length).split('/');
    if (!request.path.startsWith(realm)) return [404, { error: 'Realm does not exist' }];
    if (area === 'protocol') return rest[0] === 'token' ? token(request) : auth(request);
    if (area !== 'clients-registrations') return [404];
    const clientId = decodeURIComponent(rest.join('/'));
    const isOpenid = kind === 'openid-connect';
    return clientId === '' ? register(request, isOpenid) : manage(request, clientId, isOpenid);
  };

  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const request = await readRequest(incoming);
    requests.push(`${request.method} ${request.path}`);
    const [status, body] = answer(request);
    outgoing.writeHead(status, { 'content-type': 'application/json' });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  };
  const server = createServer((incoming, outgoing) => void serve(incoming, outgoing));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/${realmName}`;

  const edit = async (clientId: string, change: (client: Client) => void): Promise<void> => {
    const client = clients.get(clientId);
    if (client !== undefined) change(client);
  };
  return {
    issuer,
    renewer,
    issueToken: async (lifeSeconds, count) => issue(lifeSeconds, count),
    revokeToken: async (id) => void initialTokens.delete(id),
    remainingOf: async (id) => initialTokens.get(id)?.remaining,
    clientIds: async () => [...clients.keys()].sort(),
    setEnabled: (clientId, enabled) => edit(clientId, (client) => Object.assign(client, { enabled })),
    setSecret: (clientId, secret) => edit(clientId, (client) => Object.assign(client, { secret })),
    endSessions: () => {
      logins = new Set();
    },
    requests: () => requests,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function readRequest(incoming: IncomingMessage): Promise<Request> {
  const url = new URL(incoming.url ?? '/', 'http://127.0.0.1');
  const [scheme, credentials = ''] = (incoming.headers.authorization ?? '').split(' ');
  const [id = '', secret = ''] = Buffer.from(scheme === 'Basic' ? credentials : '', 'base64')
    .toString()
    .split(':')
    .map(decodeURIComponent);
  const isJson = incoming.headers['content-type'] === 'application/json';
  const body = await text(incoming);
  return {
    method: incoming.method ?? '',
    path: url.pathname,
    query: url.searchParams,
    bearer: scheme === 'Bearer' ? credentials : '',
    basic: [id, secret],
    body: isJson && body !== '' ? (JSON.parse(body) as Record<string, unknown>) : {},
  };
}
