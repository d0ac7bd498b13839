import { createSecret, type Secret } from '../secret.ts';
import { type DocumentFields, fieldsOf, formatDocument, parseDocument, textOf } from './document-store.ts';

/** Claims of an Initial Access Token, read without trusting them: it is signed for the realm alone (HMAC). */
export interface IatClaims {
  /** `jti`: the id under which the realm counts and revokes it. */
  readonly id: string | undefined;
  readonly issuer: string | undefined;
  readonly type: string | undefined;
  readonly issuedAtMs: number | undefined;
  /** Undefined: it never expires (`exp` absent or 0). */
  readonly expiresAtMs: number | undefined;
}

/** Undefined unless the text is a JWS in compact form with an object as its payload (RFC 7515 section 3.1). */
export function decodeIat(token: Secret): IatClaims | undefined {
  const parts = token.reveal().split('.');
  const payload = parts[1];
  if (parts.length !== 3 || !payload) return undefined;
  const claims = objectFrom(payload);
  if (claims === undefined) return undefined;
  return {
    id: textOf(claims['jti']),
    issuer: textOf(claims['iss']),
    type: textOf(claims['typ']),
    issuedAtMs: milliseconds(claims['iat']),
    expiresAtMs: milliseconds(claims['exp']),
  };
}

/** `typ` of the claims in Keycloak; a registration access token pasted by mistake has another. */
export const iatType = 'InitialAccessToken';

/** The token that a stored document holds, in whichever of the three shapes it was found. */
export interface HeldIat {
  readonly token: Secret;
  /** The one before it, if the document keeps it. */
  readonly previous: Secret | undefined;
}

const legacyField = 'initial-access-token';
const currentField = 'current_iat';
const previousField = 'previous_iat';

/**
 * Shapes: `{current_iat: {id, token}, previous_iat?}`; `{url, "initial-access-token"}`; and a plain field of
 * the configured name. Undefined: there is no token in it.
 */
export function readHeldIat(content: Secret, field: string): HeldIat | undefined {
  const fields = parseDocument(content);
  const current = textOf(fieldsOf(fields?.[currentField])?.['token']);
  if (current !== undefined) {
    const previous = textOf(fieldsOf(fields?.[previousField])?.['token']);
    return held(current, previous);
  }
  for (const name of [legacyField, field]) {
    const plain = textOf(fields?.[name]);
    if (plain !== undefined) return held(plain, textOf(fields?.[previousNameOf(name)]));
  }
  return undefined;
}

/** The document with the new token in the shape that was found, the old one kept as the previous. */
export function replaceHeldIat(content: Secret | undefined, field: string, next: Secret): Secret {
  const fields: DocumentFields = (content && parseDocument(content)) ?? {};
  const id = decodeIat(next)?.id;
  for (const name of [legacyField, field]) {
    const plain = textOf(fields[name]);
    if (plain !== undefined && fields[currentField] === undefined)
      return formatDocument({ ...fields, [name]: next.reveal(), [previousNameOf(name)]: plain });
  }
  return formatDocument({
    ...fields,
    [currentField]: { id, token: next.reveal() },
    ...(fields[currentField] === undefined ? {} : { [previousField]: fields[currentField] }),
  });
}

function held(token: string, previous: string | undefined): HeldIat {
  return {
    token: createSecret(token),
    previous: previous === undefined ? undefined : createSecret(previous),
  };
}

function previousNameOf(field: string): string {
  return `previous-${field}`;
}

function objectFrom(base64url: string): DocumentFields | undefined {
  try {
    return fieldsOf(JSON.parse(Buffer.from(base64url, 'base64url').toString('utf8')));
  } catch {
    return undefined;
  }
}

/** NumericDate of RFC 7519 section 2; Keycloak writes 0 for "never". */
function milliseconds(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value * 1000 : undefined;
}
