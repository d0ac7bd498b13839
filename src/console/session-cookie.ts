export interface SessionCookie {
  /** Of a `Cookie` header. */
  readonly read: (header: string | undefined) => string | undefined;
  /** A `Set-Cookie` value. `isHttps`: the page itself says that it was loaded by https. */
  readonly write: (id: string, maxAgeSeconds: number, isHttps: boolean) => string;
  readonly clear: (isHttps: boolean) => string;
}

const name = 'tiergate_console';

/**
 * The session's cookie (RFC 6265; SameSite of its successor draft): for this host only, out of reach of scripts,
 * never sent with what another site asks. `Secure`, and by its `__Host-` prefix bound to that, wherever the way to
 * the browser is TLS, ours or that of a proxy before us.
 */
export function createSessionCookie(isTls: boolean): SessionCookie {
  const attributes = (isHttps: boolean) => `Path=/; HttpOnly; SameSite=Strict${isHttps ? '; Secure' : ''}`;
  const nameFor = (isHttps: boolean) => (isHttps ? `__Host-${name}` : name);
  return {
    read(header = '') {
      for (const pair of header.split(';')) {
        const [key = '', ...value] = pair.trim().split('=');
        if (key === nameFor(true) || (key === name && !isTls)) return value.join('=');
      }
      return undefined;
    },
    write: (id, maxAgeSeconds, isHttps) =>
      `${nameFor(isTls || isHttps)}=${id}; Max-Age=${maxAgeSeconds}; ${attributes(isTls || isHttps)}`,
    clear: (isHttps) => `${nameFor(isTls || isHttps)}=; Max-Age=0; ${attributes(isTls || isHttps)}`,
  };
}
