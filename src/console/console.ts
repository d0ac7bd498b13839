import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Principal } from '../check/principal.ts';
import { isDependencyError } from '../dependency-error.ts';
import { isDenied } from '../check/outcome.ts';
import { readBearer } from '../http/bearer.ts';
import type { Throttle } from '../http/throttle.ts';
import { type Answer, answerRefusal, sendAnswer } from './answer.ts';
import { checkOrigin, createCheckHost } from './hosts.ts';
import type { ConsoleRight, Operators } from './operator.ts';
import type { PageFile } from './page-files.ts';
import { isRefusal, type Refusal, refusal, refusalFrom } from './refusal.ts';
import { readBody, readJsonBody } from './request-body.ts';
import { createSessionCookie } from './session-cookie.ts';
import { createSessionRoutes } from './session-routes.ts';
import { isSameSecret, type Session, type Sessions } from './sessions.ts';

/** What a route is given once it is clear who asks, and that they may. */
export interface Asked {
  readonly principal: Principal;
  /** Undefined where a token came with the request itself. */
  readonly session: Session | undefined;
  readonly query: URLSearchParams;
  /** Of a POST; empty where the route takes bytes. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Of a POST to a route that takes them: its body, unparsed. Else empty. */
  readonly bytes: Buffer;
  /** Address of the peer. */
  readonly source: string;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: `/api/${string}`;
  readonly right: ConsoleRight;
  /** Of the body, at most; default 64 KiB. */
  readonly maxBodyBytes?: number;
  /** Parses the body elsewhere: to parse some megabytes here would hold up every Check. */
  readonly takesBytes?: boolean;
  readonly handle: (asked: Asked) => Promise<object>;
}

/** A fault with where it happened: never a path as sent, never a body. */
export type ReportConsoleFault = (fault: { readonly route: string; readonly error: unknown }) => void;

export interface ConsoleOptions {
  /** Names besides those of loopback. */
  readonly hosts: readonly string[];
  readonly isTls: boolean;
  readonly pages: ReadonlyMap<string, PageFile>;
  readonly operators: Operators;
  readonly sessions: Sessions;
  readonly routes: readonly Route[];
  /** Of logins, and of requests that bring a token, from one address. */
  readonly throttleTokens: Throttle;
  /** What the page is told about itself. */
  readonly about: object;
  readonly reportFault: ReportConsoleFault;
}

export type ConsoleListener = (request: IncomingMessage, response: ServerResponse) => void;

const defaultMaxBodyBytes = 64 * 1024;

/**
 * The operators' page and what it asks. A request is looked at in this order: the host it names; the origin of the
 * page that made it; who makes it, by a session's cookie (with its CSRF token unless it only reads) or by a token of
 * the cluster as `Authorization: Bearer`; whether they may; then its body. The page's files are for everybody who
 * gets here, since nothing is in them.
 */
export function createConsole(options: ConsoleOptions): ConsoleListener {
  const { pages, operators, sessions, throttleTokens, reportFault } = options;
  const checkHost = createCheckHost(options.hosts);
  const cookie = createSessionCookie(options.isTls);
  const login = createSessionRoutes({ ...options, cookie });
  const routes = new Map<string, Route>(
    options.routes.map((route) => [`${route.method} ${route.path}`, route]),
  );
  const methodsByPath = new Map<string, readonly string[]>([['/api/session', ['GET', 'POST', 'DELETE']]]);
  for (const { method, path } of options.routes)
    methodsByPath.set(path, [...(methodsByPath.get(path) ?? []), method]);

  async function identify(
    request: IncomingMessage,
    isActive: boolean,
  ): Promise<Pick<Asked, 'principal' | 'session'> | Refusal> {
    if (request.headers.authorization !== undefined) {
      const token = readBearer(request);
      if (isDenied(token)) return refusalFrom(token);
      const throttled = await throttleTokens(sourceOf(request));
      if (throttled !== undefined) return refusalFrom(throttled);
      const principal = await operators.identify(token);
      return isRefusal(principal) ? principal : { principal, session: undefined };
    }
    const id = cookie.read(request.headers.cookie);
    const session = id === undefined ? undefined : sessions.find(id, isActive);
    if (session === undefined) return refusal('session_missing', 'Log in first.');
    if (
      !reads(request.method) &&
      !isSameSecret(String(request.headers['x-tiergate-csrf'] ?? ''), session.csrf)
    ) {
      return refusal('csrf_missing', 'The header x-tiergate-csrf is not that of the session.');
    }
    return { principal: session.principal, session };
  }

  async function answerRoute(
    route: Route,
    request: IncomingMessage,
    query: URLSearchParams,
  ): Promise<Answer> {
    const asker = await identify(request, query.get('idle') === null);
    if (isRefusal(asker)) return answerRefusal(asker);
    const mayNot = await operators.check(asker.principal, route.right);
    if (mayNot !== undefined) return answerRefusal(mayNot);
    const sent = await readSent(route, request);
    if (isRefusal(sent)) return answerRefusal(sent);
    const json = await route.handle({ ...asker, ...sent, query, source: sourceOf(request) });
    return isRefusal(json) ? answerRefusal(json) : { status: 200, json };
  }

  async function answerTo(request: IncomingMessage): Promise<Answer> {
    const strange = checkHost(request.headers);
    if (strange !== undefined) return answerRefusal(strange);
    const { path, query } = targetOf(request);
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '');
    const page = pages.get(path);
    if (page !== undefined) {
      return method === 'GET' ? { status: 200, page } : wrongMethod(['GET']);
    }
    const methods = methodsByPath.get(path);
    if (methods === undefined) return answerRefusal(refusal('not_found', 'There is nothing here.'));
    if (!methods.includes(method)) return wrongMethod(methods);
    const foreign = checkOrigin(request.headers);
    if (foreign !== undefined) return answerRefusal(foreign);
    try {
      if (path === '/api/session') return await login(method, request, () => identify(request, true));
      const route = routes.get(`${method} ${path}`);
      if (route === undefined) return wrongMethod(methods);
      return await answerRoute(route, request, query);
    } catch (error) {
      reportFault({ route: `${method} ${path}`, error });
      return isDependencyError(error) ? unavailable : failed;
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const answered = await answerTo(request);
      // What is left of a body that nobody wants is not read to its end.
      if (!request.complete) response.setHeader('Connection', 'close');
      sendAnswer(response, answered, request.method === 'HEAD');
    } catch (error) {
      reportFault({ route: 'none', error });
      response.destroy();
    }
  }

  return (request, response) => void answer(request, response);
}

const noBytes = Buffer.alloc(0);

async function readSent(
  { method, takesBytes = false, maxBodyBytes = defaultMaxBodyBytes }: Route,
  request: IncomingMessage,
): Promise<Pick<Asked, 'body' | 'bytes'> | Refusal> {
  if (method !== 'POST') return { body: {}, bytes: noBytes };
  if (takesBytes) {
    const bytes = await readBody(request, maxBodyBytes);
    return isRefusal(bytes) ? bytes : { body: {}, bytes };
  }
  const body = await readJsonBody(request, maxBodyBytes);
  return isRefusal(body) ? body : { body, bytes: noBytes };
}

const unavailable: Answer = {
  status: 503,
  headers: { 'Retry-After': '1' },
  json: {
    error: { reason: 'unavailable', message: 'The cluster or the counters can not be asked for now.' },
  },
};

const failed: Answer = {
  status: 500,
  json: { error: { reason: 'internal', message: 'Something went wrong here; the log says what.' } },
};

function wrongMethod(methods: readonly string[]): Answer {
  const answer = answerRefusal(refusal('method_not_allowed', `This path takes ${methods.join(', ')} only.`));
  return { ...answer, headers: { ...answer.headers, Allow: methods.join(', ') } };
}

function reads(method: string | undefined): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** Paths are compared as they stand: what is written in another way is another path, and there is none. */
function targetOf({ url = '/' }: IncomingMessage): {
  readonly path: string;
  readonly query: URLSearchParams;
} {
  const mark = url.indexOf('?');
  return mark < 0
    ? { path: url, query: new URLSearchParams() }
    : { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark)) };
}

function sourceOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress ?? '';
}
