import { createHash } from 'node:crypto';

/** Who a token stands for (authentication.k8s.io/v1 UserInfo). */
export interface UserInfo {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export type Authentication =
  | {
      readonly authenticated: true;
      readonly user: UserInfo;
      /** Those of the asked-for audiences that the token has: never empty, in the order of the asking. */
      readonly audiences: readonly string[];
    }
  | { readonly authenticated: false; readonly error: string };

/** A user of a token file (`--token-auth-file`): an opaque token that is good for all of the server's audiences. */
export interface StaticUser {
  readonly token: string;
  readonly username: string;
  readonly uid?: string;
  /** `system:authenticated` is added. */
  readonly groups?: readonly string[];
}

/** Undefined: not a token of a kind that the authenticator knows, so that another one may. */
export type VerifyToken = (
  token: string,
  audiences: readonly string[],
) => Promise<Authentication | undefined>;

export interface AuthenticatorOptions {
  readonly users: readonly StaticUser[];
  readonly verifyServiceAccountToken: VerifyToken;
  /** The server's own audiences: what its static users are good for. */
  readonly apiAudiences: readonly string[];
  /**
   * How long a yes is repeated without looking again, in milliseconds. The real server does so for 10 s, so
   * that a token outlives its deleted ServiceAccount by as much; 0 looks each time. A no is never repeated.
   */
  readonly successCacheMs: number;
  readonly now: () => number;
}

export type Authenticate = (token: string, audiences: readonly string[]) => Promise<Authentication>;

/** The real server's words when no authenticator knows the token. */
const unknownToken: Authentication = { authenticated: false, error: 'invalid bearer token' };

/** For callers' own bearer tokens and for TokenReview alike. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticate {
  const { now, successCacheMs, verifyServiceAccountToken } = options;
  const userByToken = new Map(options.users.map((user) => [user.token, user]));
  const remembered = new Map<string, { readonly answer: Authentication; readonly untilMs: number }>();

  function authenticateUser(user: StaticUser, audiences: readonly string[]): Authentication {
    const shared = audiences.filter((audience) => options.apiAudiences.includes(audience));
    if (shared.length === 0) return unknownToken;
    const { username, uid, groups = [] } = user;
    return {
      authenticated: true,
      user: { username, ...(uid === undefined ? {} : { uid }), groups: [...groups, 'system:authenticated'] },
      audiences: shared,
    };
  }

  async function look(token: string, audiences: readonly string[]): Promise<Authentication> {
    const user = userByToken.get(token);
    if (user !== undefined) return authenticateUser(user, audiences);
    return (await verifyServiceAccountToken(token, audiences)) ?? unknownToken;
  }

  function remember(key: string, answer: Authentication): void {
    const nowMs = now();
    for (const [old, { untilMs }] of remembered) if (untilMs <= nowMs) remembered.delete(old);
    remembered.set(key, { answer, untilMs: nowMs + successCacheMs });
  }

  return async (token, audiences) => {
    if (successCacheMs === 0) return look(token, audiences);
    const key = createHash('sha256')
      .update(JSON.stringify([token, audiences]))
      .digest('base64');
    const known = remembered.get(key);
    if (known !== undefined && now() < known.untilMs) return known.answer;
    const answer = await look(token, audiences);
    if (answer.authenticated) remember(key, answer);
    return answer;
  };
}
