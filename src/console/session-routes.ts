import type { IncomingMessage } from 'node:http';
import type { Throttle } from '../http/throttle.ts';
import { createSecret } from '../secret.ts';
import { denied } from '../check/outcome.ts';
import type { Principal } from '../check/principal.ts';
import { type Answer, answerRefusal } from './answer.ts';
import type { Operators } from './operator.ts';
import { isRefusal, type Refusal, refusal, refusalFrom } from './refusal.ts';
import { readJsonBody } from './request-body.ts';
import type { SessionCookie } from './session-cookie.ts';
import type { Session, Sessions } from './sessions.ts';

export interface SessionRoutesOptions {
  readonly operators: Operators;
  readonly sessions: Sessions;
  readonly cookie: SessionCookie;
  readonly throttleTokens: Throttle;
  readonly about: object;
}

type Identified = { readonly principal: Principal; readonly session: Session | undefined } | Refusal;

export type SessionRoutes = (
  method: string,
  request: IncomingMessage,
  identify: () => Promise<Identified>,
) => Promise<Answer>;

const nobody: Answer = { status: 200, json: {} };

/** Tokens of OIDC providers with many groups come near 12 KiB. */
const maxBodyBytes = 32 * 1024;

/**
 * `/api/session`: POST a token of the cluster to log in, GET to learn who is logged in (`{}`: nobody) and the CSRF token of it,
 * DELETE to log out. The token is looked at once and kept nowhere; what is kept is whose it was.
 */
export function createSessionRoutes(options: SessionRoutesOptions): SessionRoutes {
  const { operators, sessions, cookie, throttleTokens } = options;

  async function described({ principal, csrf, endsAtMs }: Session): Promise<object> {
    const mayChange = (await operators.check(principal, 'change')) === undefined;
    return { ...options.about, user: principal.username, mayChange, csrf, endsAtMs };
  }

  async function logIn(request: IncomingMessage): Promise<Answer> {
    const throttled = await throttleTokens(request.socket.remoteAddress ?? '');
    if (throttled !== undefined) return answerRefusal(refusalFrom(throttled));
    const body = await readJsonBody(request, maxBodyBytes);
    if (isRefusal(body)) return answerRefusal(body);
    const { token } = body;
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
      return answerRefusal(refusalFrom(denied('credential_malformed', 'This is no token.')));
    }
    const principal = await operators.identify(createSecret(token));
    if (isRefusal(principal)) return answerRefusal(principal);
    const mayNot = await operators.check(principal, 'look');
    if (mayNot !== undefined) return answerRefusal(mayNot);
    // The one before is of no use any more, and must not stay behind.
    const former = cookie.read(request.headers.cookie);
    if (former !== undefined) sessions.end(former);
    const { id, session } = sessions.open(principal);
    const maxAgeSeconds = Math.max(1, Math.floor((session.endsAtMs - Date.now()) / 1000));
    return {
      status: 200,
      headers: { 'Set-Cookie': cookie.write(id, maxAgeSeconds, isHttps(request)) },
      json: await described(session),
    };
  }

  return async (method, request, identify) => {
    if (method === 'POST') return logIn(request);
    const asker = await identify();
    // Whether anybody is logged in is a question like another: a page that asks has made no mistake.
    if (isRefusal(asker) && asker.reason === 'session_missing' && method === 'GET') return nobody;
    if (isRefusal(asker)) return answerRefusal(asker);
    const { session } = asker;
    if (session === undefined) return answerRefusal(refusal('session_missing', 'There is no session.'));
    if (method === 'GET') return { status: 200, json: await described(session) };
    const id = cookie.read(request.headers.cookie);
    if (id !== undefined) sessions.end(id);
    return { status: 204, headers: { 'Set-Cookie': cookie.clear(isHttps(request)) } };
  };
}

/** By the word of the browser, whose `Origin` no page can choose. */
function isHttps({ headers }: IncomingMessage): boolean {
  return headers.origin?.startsWith('https://') === true;
}
