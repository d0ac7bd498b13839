import { decodeProtectedHeader } from 'jose';
import type { VerifySignature } from '../check/identity.ts';
import type { DependencyError } from '../dependency-error.ts';
import { malformed } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';
import { createKeySetSource } from './key-set-source.ts';
import { algorithms, readVerifyingKey, type VerifyingKey } from './verifying-key.ts';

/** Headers by which a token would bring its own key, or change what is verified (RFC 7515 section 4.1). */
const refusedHeaders = ['jwk', 'jku', 'x5c', 'x5u', 'crit', 'b64'];

export interface SignatureVerifierOptions {
  readonly client: Pick<KubernetesClient, 'request'>;
  readonly now?: () => number;
}

export interface SignatureVerifier {
  /**
   * `invalid`: a key of the API server says so, or none of its keys is the one that the token names, by a look
   * that was taken after the token came. `unknown` when its keys can't be had.
   */
  readonly verify: VerifySignature;
  /** The issuers that the API server names; undefined until that is known. */
  readonly issuers: () => readonly string[] | undefined;
  /** Whether a key of that id is among those that are known. */
  readonly isOwnKey: (id: string) => boolean;
  /** Reads keys and issuer now, or joins who does. For the start; never throws, see `fault`. */
  readonly refresh: () => Promise<void>;
  /** Why keys or issuer can't be had; undefined when they were had the last time. */
  readonly fault: () => DependencyError | undefined;
}

interface Keys {
  /** By `kid`; undefined is a key that can't be used, or one of several of the same name. */
  readonly byId: ReadonlyMap<string, VerifyingKey | undefined>;
  readonly issuers: readonly string[];
}

/**
 * Signatures by the API server's own keys (`/openid/v1/jwks`), which are read again every five minutes and when a
 * token names a key that is not among them: ten times a second at most, and whoever comes in between waits
 * for the next look together. Needs `get` on the non-resource URLs `/openid/v1/jwks` and
 * `/.well-known/openid-configuration` (ClusterRole `system:service-account-issuer-discovery`, bound to all
 * ServiceAccounts by default).
 */
export function createSignatureVerifier(options: SignatureVerifierOptions): SignatureVerifier {
  const { client, now = Date.now } = options;
  const source = createKeySetSource({ fetch: () => fetchKeys(client), now });

  async function keysWith(id: string): Promise<Keys | undefined> {
    const current = source.current();
    if (current?.byId.has(id) === true) return current;
    const pending = source.pending();
    if (pending !== undefined) {
      const arriving = await pending;
      if (arriving?.byId.has(id) === true) return arriving;
    }
    // As of a moment ago they can't be had: to wait for the next try would help nobody.
    if (source.fault() !== undefined) return undefined;
    return source.next();
  }

  return {
    verify: async (token) => {
      const text = token.reveal();
      const named = readNamedKey(text);
      if (named === undefined) return 'invalid';
      const keys = await keysWith(named.id);
      if (keys === undefined) return 'unknown';
      if (!keys.byId.has(named.id)) return 'invalid';
      const key = keys.byId.get(named.id);
      // About the key, not the token: the TokenReview decides.
      if (key === undefined) return 'unknown';
      return key.algorithm === named.algorithm ? verifyBy(key, text) : 'invalid';
    },
    issuers: () => source.current()?.issuers,
    isOwnKey: (id) => source.current()?.byId.has(id) === true,
    refresh: async () => {
      await (source.pending() ?? source.next());
    },
    fault: source.fault,
  };
}

interface NamedKey {
  readonly id: string;
  readonly algorithm: string;
}

/** The key that a token says it is signed with, or undefined if nothing that it says can be valid here. */
function readNamedKey(token: string): NamedKey | undefined {
  try {
    const header = decodeProtectedHeader(token);
    const { alg: algorithm, kid: id } = header;
    if (algorithm === undefined || !algorithms.includes(algorithm)) return undefined;
    if (refusedHeaders.some((name) => name in header)) return undefined;
    return typeof id === 'string' && id !== '' ? { id, algorithm } : undefined;
  } catch {
    return undefined;
  }
}

const base64url = /^[A-Za-z0-9_-]+$/;

/**
 * The compact form of RFC 7515 section 5.2, by Node's own cryptography: a quarter of the time that a JOSE library
 * takes by way of Web Crypto, and a flood of forged tokens takes it for each of them.
 */
async function verifyBy(key: VerifyingKey, token: string): Promise<'valid' | 'invalid' | 'unknown'> {
  const parts = token.split('.');
  if (parts.length !== 3 || !parts.every((part) => base64url.test(part))) return 'invalid';
  const [header, payload, signature = ''] = parts;
  try {
    const isValid = await key.verify(
      Buffer.from(`${header}.${payload}`),
      Buffer.from(signature, 'base64url'),
    );
    return isValid ? 'valid' : 'invalid';
  } catch {
    return 'unknown';
  }
}

async function fetchKeys(client: Pick<KubernetesClient, 'request'>): Promise<Keys> {
  const [keySet, discovery] = await Promise.all([
    fetchJson(client, '/openid/v1/jwks', 'application/jwk-set+json, application/json'),
    fetchJson(client, '/.well-known/openid-configuration', 'application/json'),
  ]);
  const keys = isRecord(keySet) ? keySet['keys'] : undefined;
  const issuer = isRecord(discovery) ? discovery['issuer'] : undefined;
  if (!Array.isArray(keys) || !keys.every(isRecord)) throw malformed('JWKS: no keys');
  if (typeof issuer !== 'string' || issuer === '') throw malformed('OpenID configuration: no issuer');
  return {
    byId: keysById(keys),
    issuers: [issuer],
  };
}

function keysById(
  keys: readonly Readonly<Record<string, unknown>>[],
): ReadonlyMap<string, VerifyingKey | undefined> {
  const byId = new Map<string, VerifyingKey | undefined>();
  for (const jwk of keys) {
    const kid = jwk['kid'];
    if (typeof kid !== 'string') continue;
    // Two of one name: which of them is meant can't be told.
    byId.set(kid, byId.has(kid) ? undefined : readVerifyingKey(jwk));
  }
  return byId;
}

async function fetchJson(
  client: Pick<KubernetesClient, 'request'>,
  path: string,
  accept: string,
): Promise<unknown> {
  const answer = await client.request({ method: 'GET', path, accept });
  if (answer.status !== 200) throw malformed(`${path}: HTTP ${answer.status}`);
  return answer.body;
}
