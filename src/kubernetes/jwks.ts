import { compactVerify, createLocalJWKSet, decodeProtectedHeader, errors } from 'jose';
import type { VerifySignature } from '../check/identity.ts';
import type { DependencyError } from '../dependency-error.ts';
import { malformed } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';
import { createKeySetSource } from './key-set-source.ts';

/** What kube-apiserver signs ServiceAccount tokens with, by the kind of its key. */
const algorithms = ['RS256', 'ES256', 'ES384', 'ES512'];

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
  readonly ids: ReadonlySet<string>;
  readonly find: ReturnType<typeof createLocalJWKSet>;
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
    if (current?.ids.has(id) === true) return current;
    const pending = source.pending();
    if (pending !== undefined) {
      const arriving = await pending;
      if (arriving?.ids.has(id) === true) return arriving;
    }
    // As of a moment ago they can't be had: to wait for the next try would help nobody.
    if (source.fault() !== undefined) return undefined;
    return source.next();
  }

  return {
    verify: async (token) => {
      const text = token.reveal();
      const id = readKeyId(text);
      if (id === undefined) return 'invalid';
      const keys = await keysWith(id);
      if (keys === undefined) return 'unknown';
      return keys.ids.has(id) ? verifyBy(keys, text) : 'invalid';
    },
    issuers: () => source.current()?.issuers,
    isOwnKey: (id) => source.current()?.ids.has(id) === true,
    refresh: async () => {
      await (source.pending() ?? source.next());
    },
    fault: source.fault,
  };
}

/** The key that a token says it is signed with, or undefined if nothing that it says can be valid here. */
function readKeyId(token: string): string | undefined {
  try {
    const header = decodeProtectedHeader(token);
    if (header.alg === undefined || !algorithms.includes(header.alg)) return undefined;
    if (refusedHeaders.some((name) => name in header)) return undefined;
    return typeof header.kid === 'string' && header.kid !== '' ? header.kid : undefined;
  } catch {
    return undefined;
  }
}

async function verifyBy(keys: Keys, token: string): Promise<'valid' | 'invalid' | 'unknown'> {
  try {
    await compactVerify(token, keys.find, { algorithms });
    return 'valid';
  } catch (error) {
    const isVerdict =
      error instanceof errors.JWSSignatureVerificationFailed ||
      error instanceof errors.JWSInvalid ||
      error instanceof errors.JWKSNoMatchingKey;
    // Anything else is about the key, not the token: the TokenReview decides.
    return isVerdict ? 'invalid' : 'unknown';
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
    ids: new Set(keys.map(({ kid }) => kid).filter((kid) => typeof kid === 'string')),
    find: createLocalJWKSet({ keys }),
    issuers: [issuer],
  };
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
