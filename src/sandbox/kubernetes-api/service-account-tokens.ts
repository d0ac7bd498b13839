import {
  createHash,
  generateKeyPairSync,
  type KeyObject,
  type KeyPairKeyObjectResult,
  randomUUID,
} from 'node:crypto';
import { decodeJwt, errors, exportJWK, type JWK, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import type { Authentication } from './authentication.ts';
import type { ObjectStore } from './object-store.ts';
import { type Fields, fieldsOf, type ObjectKey, type StoredObject } from './objects.ts';
import { type Resource, secrets, serviceAccounts } from './resources.ts';
import { notFound } from './status.ts';

/** What a token says. */
export interface TokenGrant {
  readonly serviceAccount: StoredObject;
  /** The token ends with this object. */
  readonly secret?: StoredObject;
  readonly audiences: readonly string[];
  readonly issuedAtMs: number;
  readonly expirationSeconds: number;
}

/** A token by the names of what it is for; it may be shorter than a TokenRequest's, or long over. */
export interface TokenOrder {
  readonly namespace: string;
  readonly name: string;
  readonly audiences: readonly string[];
  /** Name of a Secret in the namespace that the token is bound to. */
  readonly secretName?: string;
  /** Default: now. */
  readonly issuedAtMs?: number;
  readonly expirationSeconds: number;
}

export interface ServiceAccountTokens {
  readonly sign: (grant: TokenGrant) => Promise<string>;
  /** Finds what the order names, and signs. Throws a StatusError (404) for what does not exist. */
  readonly issue: (order: TokenOrder) => Promise<string>;
  /** Undefined for what is no token of this issuer. */
  readonly verify: (token: string, audiences: readonly string[]) => Promise<Authentication | undefined>;
  /** Public keys that tokens are verified by, the signing one first (RFC 7517). */
  readonly jwks: () => Promise<{ readonly keys: readonly JWK[] }>;
  /** Signs with a new key from now on; tokens of the older ones go on being accepted. */
  readonly rotateSigningKey: () => void;
  /** Tokens signed with any but the current key are no longer accepted. */
  readonly dropOldSigningKeys: () => void;
}

export interface ServiceAccountTokensOptions {
  readonly issuer: string;
  readonly store: ObjectStore;
  readonly now: () => number;
  readonly newKeyPair: NewKeyPair;
}

/** The next pair of RSA keys to sign tokens with. */
export type NewKeyPair = () => KeyPairKeyObjectResult;

interface SigningKey extends KeyPairKeyObjectResult {
  readonly kid: string;
}

const algorithm = 'RS256';
/** The real server's allowance for clocks that differ: a token is accepted for this long after its `exp`. */
const leewaySeconds = 60;

export function createServiceAccountTokens(options: ServiceAccountTokensOptions): ServiceAccountTokens {
  const { issuer, store, now, newKeyPair } = options;
  let newest: SigningKey | undefined;
  let older: readonly SigningKey[] = [];

  /** Made when it is first needed: that takes a tenth of a second, and many a server signs nothing. */
  function current(): SigningKey {
    newest ??= signingKeyOf(newKeyPair());
    return newest;
  }

  function publicKeyOf(kid: string | undefined): KeyObject {
    const key =
      kid === undefined ? current() : [current(), ...older].find((candidate) => candidate.kid === kid);
    if (key === undefined) throw new errors.JWKSNoMatchingKey();
    return key.publicKey;
  }

  async function verify(token: string, audiences: readonly string[]): Promise<Authentication | undefined> {
    if (issuerOf(token) !== issuer) return undefined;
    let claims: JWTPayload;
    try {
      const { payload } = await jwtVerify(token, ({ kid }) => publicKeyOf(kid), {
        algorithms: [algorithm],
        clockTolerance: leewaySeconds,
        currentDate: new Date(now()),
      });
      claims = payload;
    } catch (error) {
      return refused(wordsFor(error));
    }
    const own = [claims.aud ?? []].flat();
    const shared = audiences.filter((audience) => own.includes(audience));
    if (shared.length === 0)
      return refused(`token audiences ${list(own)} is invalid for the target audiences ${list(audiences)}`);
    return judgeObjects(store, claims, shared);
  }

  function sign(grant: TokenGrant): Promise<string> {
    const { namespace = '', name, uid } = grant.serviceAccount.metadata;
    const issuedAt = Math.floor(grant.issuedAtMs / 1000);
    const secret = grant.secret?.metadata;
    const bound = secret === undefined ? {} : { secret: { name: secret.name, uid: secret.uid } };
    const { kid, privateKey } = current();
    return new SignJWT({ 'kubernetes.io': { namespace, ...bound, serviceaccount: { name, uid } } })
      .setProtectedHeader({ alg: algorithm, kid })
      .setAudience([...grant.audiences])
      .setExpirationTime(issuedAt + grant.expirationSeconds)
      .setIssuedAt(issuedAt)
      .setIssuer(issuer)
      .setJti(randomUUID())
      .setNotBefore(issuedAt)
      .setSubject(`system:serviceaccount:${namespace}:${name}`)
      .sign(privateKey);
  }

  async function issue(order: TokenOrder): Promise<string> {
    const { namespace, name, secretName, audiences, expirationSeconds, issuedAtMs = now() } = order;
    const serviceAccount = existing(store, serviceAccounts, { namespace, name });
    const bound =
      secretName === undefined ? {} : { secret: existing(store, secrets, { namespace, name: secretName }) };
    return sign({ serviceAccount, ...bound, audiences, issuedAtMs, expirationSeconds });
  }

  return {
    verify,
    sign,
    issue,
    jwks: async () => ({ keys: await Promise.all([current(), ...older].map(publicJwk)) }),
    rotateSigningKey: () => {
      older = [current(), ...older];
      newest = undefined;
    },
    dropOldSigningKeys: () => {
      older = [];
    },
  };
}

/** A token holds only while the objects that it names exist, and are the same ones: by uid, not by name. */
function judgeObjects(store: ObjectStore, claims: JWTPayload, audiences: readonly string[]): Authentication {
  const kubernetes = fieldsOf(claims['kubernetes.io']);
  const namespace = text(kubernetes, 'namespace');
  const account = fieldsOf(kubernetes['serviceaccount']);
  const name = text(account, 'name');
  const serviceAccount = store.find(serviceAccounts, { namespace, name });
  if (serviceAccount === undefined) return refused(notFound(serviceAccounts, name).message);
  const { uid } = serviceAccount.metadata;
  if (uid !== account['uid']) return refused(`service account UID (${uid}) does not match claim`);
  const bound = kubernetes['secret'];
  if (bound !== undefined) {
    const secret = store.find(secrets, { namespace, name: text(fieldsOf(bound), 'name') });
    if (secret === undefined) return refused('service account token has been invalidated');
    if (secret.metadata.uid !== fieldsOf(bound)['uid']) return refused('secret UID does not match claim');
  }
  return {
    authenticated: true,
    audiences,
    user: {
      username: `system:serviceaccount:${namespace}:${name}`,
      uid,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      extra: { 'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti ?? ''}`] },
    },
  };
}

function existing(store: ObjectStore, resource: Resource, key: ObjectKey): StoredObject {
  const object = store.find(resource, key);
  if (object === undefined) throw notFound(resource, key.name);
  return object;
}

export function createKeyPair(): KeyPairKeyObjectResult {
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
}

function signingKeyOf({ privateKey, publicKey }: KeyPairKeyObjectResult): SigningKey {
  // As the real server names them: the hash of the key as SubjectPublicKeyInfo (RFC 5280 section 4.1).
  const kid = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
  return { kid, privateKey, publicKey };
}

async function publicJwk({ kid, publicKey }: SigningKey): Promise<JWK> {
  return { use: 'sig', kid, alg: algorithm, ...(await exportJWK(publicKey)) };
}

function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

function refused(why: string): Authentication {
  return { authenticated: false, error: `[invalid bearer token, ${why}]` };
}

function wordsFor(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'service account token has expired';
  if (error instanceof errors.JWTClaimValidationFailed) return 'service account token is not valid yet';
  if (error instanceof errors.JOSEError) return 'the signature of the token is not valid';
  throw error;
}

function text(fields: Fields, key: string): string {
  const value = fields[key];
  return typeof value === 'string' ? value : '';
}

function list(texts: readonly string[]): string {
  return `[${texts.map((entry) => JSON.stringify(entry)).join(' ')}]`;
}
