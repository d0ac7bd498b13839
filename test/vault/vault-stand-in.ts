import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { fieldsOf, textOf } from '../../src/register/document-store.ts';

type Answer = readonly [status: number, body?: unknown];

interface Version {
  readonly data: unknown;
  isDeleted: boolean;
}

export interface VaultStandIn {
  readonly url: string;
  readonly roleId: string;
  readonly secretId: string;
  /** Ends every login. */
  readonly expireLogins: () => void;
  readonly setSealed: (isSealed: boolean) => void;
  /** May read and list, nothing else. */
  readonly reader: { readonly roleId: string; readonly secretId: string };
  /** Deletes the last version and leaves the key, as `vault kv delete` does. */
  readonly softDelete: (key: string) => void;
  readonly requests: () => readonly string[];
  readonly stop: () => Promise<void>;
}

const mounts = { 'secret/': '2', 'legacy/': '1' } as const;
const notFound: Answer = [404, { errors: [] }];
const ok = (data: unknown): Answer => [200, { data }];

/** The part of Vault that the registrar talks to, on loopback, answering as 1.21.2 does; KV v2 at `secret/`, v1 at `legacy/`. */
export async function startVaultStandIn(): Promise<VaultStandIn> {
  const versions = new Map<string, Version[]>();
  const plain = new Map<string, unknown>();
  const [roleId, secretId] = [randomUUID(), randomUUID()];
  const requests: string[] = [];
  /** Token → what it may do. */
  let logins = new Map<string, readonly string[]>();
  let isSealed = false;
  const reader = { roleId: randomUUID(), secretId: randomUUID() };

  const logIn = (body: Record<string, unknown>): Answer => {
    const isOurs = body['role_id'] === roleId && body['secret_id'] === secretId;
    const isReader = body['role_id'] === reader.roleId && body['secret_id'] === reader.secretId;
    if (!isOurs && !isReader) return [400, { errors: ['invalid role or secret ID'] }];
    const token = randomUUID();
    logins.set(token, isReader ? ['list', 'read'] : ['create', 'delete', 'list', 'read', 'update']);
    return [200, { auth: { client_token: token, lease_duration: 3600 } }];
  };

  const system = (path: string, body: Record<string, unknown>, rights: readonly string[]): Answer => {
    const mountPath = /^internal\/ui\/mounts\/(.+)$/.exec(path)?.[1];
    if (mountPath !== undefined) {
      const mount = Object.entries(mounts).find(([prefix]) => `${mountPath}/`.startsWith(prefix));
      if (mount === undefined) return [403, { errors: ['preflight capability check returned 403'] }];
      return ok({ path: mount[0], type: 'kv', options: { version: mount[1] } });
    }
    const paths = (body['paths'] ?? []) as readonly string[];
    return ok(Object.fromEntries(paths.map((asked) => [asked, rights])));
  };

  const children = (keys: Iterable<string>, folder: string): Answer => {
    const found = new Set<string>();
    for (const key of keys) {
      if (!key.startsWith(folder)) continue;
      const [head = '', ...rest] = key.slice(folder.length).split('/');
      found.add(rest.length > 0 ? `${head}/` : head);
    }
    return found.size === 0 ? notFound : ok({ keys: [...found].sort() });
  };

  const folderOf = (path: string): string => (path === '' || path.endsWith('/') ? path : `${path}/`);

  const kvData = (method: string, key: string, body: Record<string, unknown>): Answer => {
    const history = versions.get(key) ?? [];
    const last = history.at(-1);
    const metadata = { version: history.length, destroyed: false };
    if (method === 'GET') {
      if (last === undefined) return notFound;
      return last.isDeleted ? [404, { data: { data: null, metadata } }] : ok({ data: last.data, metadata });
    }
    const cas = fieldsOf(body['options'])?.['cas'];
    if (cas !== undefined && cas !== history.length)
      return [400, { errors: ['check-and-set parameter did not match the current version'] }];
    versions.set(key, [...history, { data: body['data'], isDeleted: false }]);
    return ok({ version: history.length + 1 });
  };

  const kv2 = (
    method: string,
    path: string,
    query: URLSearchParams,
    body: Record<string, unknown>,
  ): Answer => {
    const [area, ...rest] = path.split('/');
    const key = rest.join('/');
    if (area === 'data') return kvData(method, key, body);
    if (area !== 'metadata')
      return [404, { errors: [], warnings: ['Invalid path for a versioned K/V engine.'] }];
    if (query.get('list') === 'true') return children(versions.keys(), folderOf(key));
    versions.delete(key);
    return [204];
  };

  const kv1 = (
    method: string,
    path: string,
    query: URLSearchParams,
    body: Record<string, unknown>,
  ): Answer => {
    if (query.get('list') === 'true') return children(plain.keys(), folderOf(path));
    if (method === 'GET') return plain.has(path) ? ok(plain.get(path)) : notFound;
    if (method === 'DELETE') plain.delete(path);
    else plain.set(path, body);
    return [204];
  };

  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    const method = request.method ?? '';
    const path = decodeURIComponent(url.pathname).replace(/^\/v1\//, '');
    requests.push(`${method} ${path}`);
    const written = await text(request);
    const body = written === '' ? {} : (JSON.parse(written) as Record<string, unknown>);
    if (isSealed) return [503, { errors: ['Vault is sealed'] }];
    if (path === 'auth/approle/login') return logIn(body);
    const rights = logins.get(textOf(request.headers['x-vault-token']) ?? '');
    if (rights === undefined) return [403, { errors: ['permission denied', 'invalid token'] }];
    if (path.startsWith('sys/')) return system(path.slice('sys/'.length), body, rights);
    if (method !== 'GET' && !rights.includes('update'))
      return [403, { errors: ['1 error occurred: permission denied'] }];
    if (path.startsWith('secret/')) return kv2(method, path.slice('secret/'.length), url.searchParams, body);
    return kv1(method, path.slice('legacy/'.length), url.searchParams, body);
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [status, body] = await answer(request);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  };
  const server = createServer((request, response) => void serve(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    roleId,
    secretId,
    reader,
    expireLogins: () => {
      logins = new Map();
    },
    setSealed: (next) => {
      isSealed = next;
    },
    softDelete: (key) => {
      const last = versions.get(key)?.at(-1);
      if (last !== undefined) last.isDeleted = true;
    },
    requests: () => requests,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
