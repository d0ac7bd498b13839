import { type Denied, denied } from './outcome.ts';

/** Claims of a ServiceAccount token, read without trusting them (RFC 7519; Kubernetes' own under `kubernetes.io`). */
export interface JwtClaims {
  /** `kid` of the header. */
  readonly keyId?: string;
  readonly issuer?: string;
  readonly audiences: readonly string[];
  readonly expiresAtMs?: number;
  readonly issuedAtMs?: number;
  readonly jti?: string;
  readonly serviceAccountUid?: string;
  readonly secret?: { readonly name: string; readonly uid: string };
}

export interface JwtScreenOptions {
  /** Our audience: a token that does not name it can not be meant for us. */
  readonly audience: string;
  /** Issuers that the API server names, or undefined while that is not known. */
  readonly issuers: () => readonly string[] | undefined;
  /**
   * Whether a key of that id is the API server's: such a token is left to the signature check, whatever issuer it
   * names. An API server goes on accepting the issuer that it had before, and names only the new one.
   */
  readonly isOwnKey?: (id: string) => boolean;
  /** Whether tokens that are no JWT may go on to the TokenReview. */
  readonly opaqueTokens: boolean;
}

/** Clocks differ; a token this close to its end is the API server's to judge. */
const leewayMs = 60_000;

/**
 * A look that costs no question to anybody: turns away what can not be valid. Passing it means nothing.
 * Returns the claims, or undefined for an opaque token that may go on.
 */
export function screenJwt(
  token: string,
  nowMs: number,
  options: JwtScreenOptions,
): JwtClaims | undefined | Denied {
  const claims = readJwtClaims(token);
  if (claims === undefined) {
    if (options.opaqueTokens) return undefined;
    return denied(
      'credential_malformed',
      'The token is not an access token; a token of the cluster is exchanged for one at POST /v1/tokens of the token API (/maas-api/v1/tokens at most gateways).',
    );
  }
  if (claims.expiresAtMs !== undefined && claims.expiresAtMs + leewayMs < nowMs) {
    return denied('token_expired', 'The access token has expired.');
  }
  if (!claims.audiences.includes(options.audience)) {
    return denied(
      'wrong_audience',
      'The token is not meant for this gateway; a token of the cluster is exchanged for one that is at POST /v1/tokens of the token API (/maas-api/v1/tokens at most gateways).',
    );
  }
  const issuers = options.issuers();
  const isNamed = issuers === undefined || (claims.issuer !== undefined && issuers.includes(claims.issuer));
  const isOwnKey = claims.keyId !== undefined && options.isOwnKey?.(claims.keyId) === true;
  if (!isNamed && !isOwnKey) {
    return denied('token_rejected', 'The access token was not issued by this cluster.');
  }
  return claims;
}

/** Undefined unless the text is a JWS in compact form whose header and payload are JSON objects (RFC 7515 section 3.1). */
export function readJwtClaims(token: string): JwtClaims | undefined {
  const parts = token.split('.');
  const [header, payload, signature] = parts;
  if (parts.length !== 3 || !header || !payload || !signature) return undefined;
  const protectedHeader = jsonObject(header);
  if (protectedHeader === undefined) return undefined;
  const claims = jsonObject(payload);
  if (claims === undefined) return undefined;

  const kubernetes = record(claims['kubernetes.io']);
  const secret = record(kubernetes?.['secret']);
  const secretName = text(secret?.['name']);
  const secretUid = text(secret?.['uid']);
  return omitUndefined({
    keyId: text(protectedHeader['kid']),
    issuer: text(claims['iss']),
    audiences: audiencesOf(claims['aud']),
    expiresAtMs: milliseconds(claims['exp']),
    issuedAtMs: milliseconds(claims['iat']),
    jti: text(claims['jti']),
    serviceAccountUid: text(record(kubernetes?.['serviceaccount'])?.['uid']),
    secret:
      secretName !== undefined && secretUid !== undefined ? { name: secretName, uid: secretUid } : undefined,
  });
}

function jsonObject(base64url: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return record(JSON.parse(Buffer.from(base64url, 'base64url').toString('utf8')));
  } catch {
    return undefined;
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** NumericDate of RFC 7519 section 2: seconds, possibly with a fraction. */
function milliseconds(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value * 1000 : undefined;
}

function audiencesOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

function omitUndefined<T extends object>(object: T): Defined<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Defined<T>;
}
