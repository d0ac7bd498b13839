/** What the page asks of the process it came from, and of nobody else. */

/**
 * @typedef {object} Session
 * @property {string} user
 * @property {string} instance
 * @property {string} version
 * @property {boolean} mayChange
 * @property {string} csrf
 * @property {number} endsAtMs
 * @property {readonly string[]} routes
 * @property {number} [workers] Processes behind the same doors; absent: this one alone.
 */

let csrf = '';

export class Refused extends Error {
  /**
   * @param {number} status 0 where there was no answer
   * @param {string} reason
   * @param {string} message
   */
  constructor(status, reason, message) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/**
 * Rejects with Refused, and with nothing else.
 *
 * @param {'GET' | 'POST' | 'DELETE'} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>}
 */
export async function ask(method, path, body) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, {
      method,
      credentials: 'same-origin',
      redirect: 'error',
      cache: 'no-store',
      headers: {
        accept: 'application/json',
        ...(method !== 'GET' && { 'x-tiergate-csrf': csrf }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Refused(0, 'unreachable', 'The authorizer does not answer.');
  }
  const text = await response.text().catch(() => '');
  const answer = parsed(text);
  if (response.ok) return answer;
  const { reason = 'unknown', message = `HTTP ${response.status}` } = answer?.error ?? {};
  const after = response.headers.get('retry-after');
  throw new Refused(
    response.status,
    reason,
    after === null ? message : `${message} Try again in ${after} s.`,
  );
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @returns {Promise<Session | undefined>} Undefined: nobody is logged in. */
export async function currentSession() {
  const session = await ask('GET', 'api/session');
  if (session?.user === undefined) return undefined;
  csrf = session.csrf;
  return session;
}

/**
 * @param {string} token
 * @returns {Promise<Session>}
 */
export async function logIn(token) {
  const session = await ask('POST', 'api/session', { token });
  csrf = session.csrf;
  return session;
}

export async function logOut() {
  await ask('DELETE', 'api/session');
  csrf = '';
}
