import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Entry = Readonly<Record<string, unknown>>;

export interface OcmStandIn {
  readonly url: string;
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly labels: Entry[];
  readonly subscriptions: Entry[];
  readonly clusters: Entry[];
  /** How many entries every list claims beyond those that it gives. */
  missing: number;
  readonly addCluster: (cluster: AddedCluster) => void;
  readonly requests: () => readonly URL[];
  readonly stop: () => Promise<void>;
}

export interface AddedCluster {
  readonly name: string;
  readonly organization: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly fields?: Entry;
  readonly status?: string;
}

/**
 * The part of the OCM API that the registrar talks to, on loopback: client credentials, three lists with
 * pages, and the conditions of the search language that are used (`in`, `=`, `like`, joined by `and`).
 */
export async function startOcmStandIn(): Promise<OcmStandIn> {
  const [labels, subscriptions, clusters]: [Entry[], Entry[], Entry[]] = [[], [], []];
  const [clientId, clientSecret, accessToken] = ['ocm-client', 'ocm:secret/ä', 'ocm-access-token'];
  const requests: URL[] = [];

  const answer = (request: IncomingMessage): readonly [number, unknown] => {
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    requests.push(url);
    const authorization = request.headers.authorization ?? '';
    if (url.pathname === '/token') {
      const pair = Buffer.from(authorization.replace('Basic ', ''), 'base64').toString();
      if (pair !== `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`)
        return [401, { error: 'invalid_client' }];
      return [200, { access_token: accessToken, expires_in: 900 }];
    }
    if (authorization !== `Bearer ${accessToken}`) return [401, { reason: 'no access' }];
    const lists: Readonly<Record<string, readonly Entry[]>> = {
      '/api/accounts_mgmt/v1/labels': labels,
      '/api/accounts_mgmt/v1/subscriptions': subscriptions,
      '/api/clusters_mgmt/v1/clusters': clusters,
    };
    const list = lists[url.pathname];
    if (list === undefined) return [404, { reason: 'no such collection' }];
    const found = list.filter((entry) => matches(entry, url.searchParams.get('search') ?? ''));
    const [page, size] = [Number(url.searchParams.get('page')), Number(url.searchParams.get('size'))];
    const items = found.slice((page - 1) * size, page * size);
    return [200, { kind: 'List', page, size: items.length, total: found.length + standIn.missing, items }];
  };

  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume();
    const [status, body] = answer(request);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  const server = createServer(serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const standIn: OcmStandIn = {
    url,
    tokenUrl: `${url}/token`,
    clientId,
    clientSecret,
    labels,
    subscriptions,
    clusters,
    missing: 0,
    addCluster: ({ name, organization, labels: own, fields, status = 'Active' }) => {
      const id = `subscription-of-${name}`;
      subscriptions.push({ id, organization_id: organization, managed: 'true', status });
      clusters.push({
        id: name,
        name,
        state: 'ready',
        managed: 'true',
        product: { id: 'osd' },
        subscription: { id },
        console: { url: `https://console-openshift-console.apps.${name}.example.com` },
        ...fields,
      });
      for (const [key, value] of Object.entries(own))
        labels.push({ key, value, type: 'Subscription', subscription_id: id });
    },
    requests: () => requests,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return standIn;
}

function matches(entry: Entry, search: string): boolean {
  return search.split(' and ').every((condition) => {
    const [, field = '', operator, value = ''] = /^(\S+) (in|=|like) (.+)$/.exec(condition) ?? [];
    const actual = String(at(entry, field));
    const wanted = [...value.matchAll(/'((?:[^']|'')*)'/g)].map(([, text = '']) =>
      text.replaceAll("''", "'"),
    );
    if (operator === 'like') return actual.startsWith(wanted[0]?.replace(/%$/, '') ?? '');
    return wanted.includes(actual);
  });
}

function at(entry: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (value as Entry | undefined)?.[name], entry);
}
