import { z } from 'zod';
import { DependencyError } from '../dependency-error.ts';
import { faultFromStatus, type FetchJson, type JsonAnswer, type JsonCall } from '../fetch-json.ts';
import { createSecret, type Secret } from '../secret.ts';

export const vaultDependency = 'vault';

/** How we log in. Files are read again at every login, so that a renewed credential is taken up. */
export type VaultLogin =
  | {
      readonly method: 'approle';
      /** Where the auth method is mounted, as a rule `approle`. */
      readonly mount: string;
      readonly roleId: () => Promise<Secret>;
      readonly secretId: () => Promise<Secret>;
    }
  | { readonly method: 'token'; readonly token: () => Promise<Secret> };

export interface VaultClientOptions {
  /** Of the server, without a slash at its end. */
  readonly url: string;
  /** Undefined: none, as in the open edition. */
  readonly namespace: string | undefined;
  readonly login: VaultLogin;
  /** With `vault` as its dependency. */
  readonly fetchJson: FetchJson;
  readonly now: () => number;
}

export interface VaultRequest {
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below `/v1/`, encoded. */
  readonly path: string;
  readonly body?: Secret;
  /** Statuses that the caller reads itself; 2xx always are among them. */
  readonly expected?: readonly number[];
}

/** Throws DependencyError for whatever is neither 2xx nor expected. Logs in by itself, and again when a login ran out. */
export type VaultClient = (request: VaultRequest, signal: AbortSignal) => Promise<JsonAnswer>;

const loginAnswer = z.object({ auth: z.object({ client_token: z.string(), lease_duration: z.number() }) });

/** A login is renewed after this part of its life, by logging in again: no renewal can outlive its maximum. */
const usablePart = 0.8;

export function createVaultClient(options: VaultClientOptions): VaultClient {
  const { fetchJson, now } = options;
  let session: { readonly token: Secret; readonly endsAtMs: number } | undefined;

  const callOf = (request: VaultRequest, token?: Secret): JsonCall => ({
    name: request.name,
    method: request.method,
    url: `${options.url}/v1/${request.path}`,
    headers: {
      // Keeps whatever stands in between from being talked into a request by a browser.
      'x-vault-request': createSecret('true'),
      ...(options.namespace !== undefined && { 'x-vault-namespace': createSecret(options.namespace) }),
      ...(token && { 'x-vault-token': token }),
    },
    ...(request.body && { body: request.body }),
  });

  const logIn = async (signal: AbortSignal): Promise<Secret> => {
    const { login } = options;
    if (login.method === 'token') return login.token();
    const [roleId, secretId] = [await login.roleId(), await login.secretId()];
    const call = callOf({
      name: 'login',
      method: 'POST',
      path: `auth/${encodePath(login.mount)}/login`,
      body: createSecret(JSON.stringify({ role_id: roleId.reveal(), secret_id: secretId.reveal() })),
    });
    const { status, body } = await fetchJson(call, signal);
    // It says 400 of a role or secret id that it does not know.
    if (status === 400)
      throw new DependencyError(vaultDependency, 'misconfigured', { detail: 'login refused' });
    const parsed = loginAnswer.safeParse(body);
    if (status !== 200 || !parsed.success) throw faultFromStatus(vaultDependency, call, status);
    const token = createSecret(parsed.data.auth.client_token);
    const lifeMs = parsed.data.auth.lease_duration * 1000;
    // 0: it does not end.
    session = { token, endsAtMs: lifeMs === 0 ? Number.POSITIVE_INFINITY : now() + lifeMs * usablePart };
    return token;
  };

  return async (request, signal) => {
    const isFresh = session === undefined || session.endsAtMs <= now();
    const token = isFresh || session === undefined ? await logIn(signal) : session.token;
    let answer = await fetchJson(callOf(request, token), signal);
    if (answer.status === 403 && !isFresh) {
      // A login that was revoked or ran out early answers like a missing right: a new one tells.
      answer = await fetchJson(callOf(request, await logIn(signal)), signal);
    }
    const { status } = answer;
    if ((status >= 200 && status < 300) || request.expected?.includes(status) === true) return answer;
    throw faultFromStatus(vaultDependency, callOf(request), status);
  };
}

/** Every segment of a path for itself: keys hold dots, blanks and what people put there. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

export function malformed(request: VaultRequest): DependencyError {
  return new DependencyError(vaultDependency, 'malformed', {
    detail: `${request.name} was answered with something else than it should be`,
  });
}
