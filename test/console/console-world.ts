import { request } from 'node:http';
import { afterAll, beforeAll } from 'vitest';
import { denied } from '../../src/check/outcome.ts';
import type { Principal, ReviewedUser } from '../../src/check/principal.ts';
import { type ConsoleOptions, createConsole, type Route } from '../../src/console/console.ts';
import { createOperators } from '../../src/console/operator.ts';
import { readPageFiles } from '../../src/console/page-files.ts';
import { createSessions } from '../../src/console/sessions.ts';
import { createOpsServer } from '../../src/http/ops-server.ts';
import { createThrottle } from '../../src/http/throttle.ts';
import type { Secret } from '../../src/secret.ts';

const cluster = 'https://kubernetes.default.svc';
const instance = 'maas-default-gateway';

interface Known {
  readonly user: ReviewedUser;
  readonly audiences: readonly string[];
  readonly rights: readonly ('look' | 'change')[];
}

function person(username: string, rights: Known['rights'], audiences = [cluster]): Known {
  return { user: { username, uid: '', groups: ['staff'], extra: {} }, audiences, rights };
}

/** By token. */
const known: Readonly<Record<string, Known>> = {
  'token-of-ada': person('ada@example.com', ['look', 'change']),
  'token-of-lou': person('lou@example.com', ['look']),
  'token-of-nobody': person('nobody@example.com', []),
  'access-token': person('ada@example.com', ['look', 'change'], [`${instance}-sa`]),
  'tier-account': person(`system:serviceaccount:${instance}-tier-free:ada`, ['look', 'change']),
};

export interface ConsoleWorld {
  readonly port: () => number;
  /** Moves the clock of sessions. */
  readonly pass: (ms: number) => void;
  /** What the routes were asked, by whom. */
  readonly handled: string[];
  readonly reviews: () => number;
  readonly faults: unknown[];
  /** From now on the API server can not tell. */
  readonly setFault: (fault: Error | undefined) => void;
}

/** A console in front of a cluster that knows five tokens, with a route that reads and one that changes. */
export function consoleWorld(more: Partial<ConsoleOptions> = {}): ConsoleWorld {
  let elapsedMs = 0;
  let reviews = 0;
  let port = 0;
  let fault: Error | undefined;
  const handled: string[] = [];
  const faults: unknown[] = [];
  const now = () => Date.now() + elapsedMs;
  const route = (path: Route['path'], method: Route['method'], right: Route['right']): Route => ({
    method,
    path,
    right,
    handle: async ({ principal }) => {
      handled.push(`${principal.username} ${path}`);
      return { done: true };
    },
  });
  let secrets = 0;
  const server = createOpsServer({
    host: '127.0.0.1',
    port: 0,
    listener: createConsole({
      hosts: ['console.example.com'],
      isTls: false,
      pages: readPageFiles(),
      operators: createOperators({
        instance,
        clusterAudience: cluster,
        async review(token: Secret) {
          reviews += 1;
          if (fault !== undefined) throw fault;
          return known[token.reveal()] ?? denied('token_rejected', 'The token was not accepted.');
        },
        authorize: async ({ username }: Principal, right) =>
          Object.values(known).some(
            ({ user, rights }) => user.username === username && rights.includes(right),
          ),
        random: () => 0,
        now,
      }),
      sessions: createSessions({
        maxSessions: 3,
        idleMs: 60_000,
        lifetimeMs: 600_000,
        newSecret: () => `secret-${(secrets += 1)}`,
        now,
      }),
      routes: [route('/api/live', 'GET', 'look'), route('/api/usage/reset', 'POST', 'change')],
      throttleTokens: createThrottle({ perSecond: 1000, what: 'this address' }),
      about: { instance },
      reportFault: ({ error }) => void faults.push(error),
      ...more,
    }),
  });
  beforeAll(async () => {
    ({ port } = await server.start());
  });
  afterAll(() => server.stop(AbortSignal.abort()));
  return {
    port: () => port,
    pass: (ms) => void (elapsedMs += ms),
    handled,
    reviews: () => reviews,
    faults,
    setFault: (next) => void (fault = next),
  };
}

export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  /** `error.reason` of a refusal. */
  readonly reason: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: object;
}

/** One request, with exactly these headers. */
export function ask(
  port: number,
  { method = 'GET', path = '/', headers = {}, body }: Asked,
): Promise<Answered> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        method,
        path,
        headers: {
          ...(text !== undefined && {
            'content-type': 'application/json',
            'content-length': String(Buffer.byteLength(text)),
          }),
          ...headers,
        },
      },
      (incoming) => {
        let answer = '';
        incoming.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
        incoming.on('end', () => {
          const parsed = parse(answer);
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            text: answer,
            reason: (parsed['error'] as { readonly reason?: string } | undefined)?.reason,
            body: parsed,
          });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(text);
  });
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}

export interface LoggedIn {
  readonly cookie: string;
  readonly setCookie: string;
  readonly csrf: string;
}

export async function logIn(port: number, token: string): Promise<LoggedIn> {
  const { status, headers, body } = await ask(port, {
    method: 'POST',
    path: '/api/session',
    body: { token },
  });
  if (status !== 200) throw new Error(`no session: ${status} ${JSON.stringify(body)}`);
  const setCookie = String(headers['set-cookie']);
  return { setCookie, cookie: setCookie.split(';')[0] ?? '', csrf: String(body['csrf']) };
}
