import { createPublicKey, type KeyObject, verify } from 'node:crypto';

/** A public key of the API server, and the one algorithm that it verifies: never the one that a token would like. */
export interface VerifyingKey {
  /** `alg` of RFC 7518 section 3.1. */
  readonly algorithm: string;
  /** Computed beside the event loop. Rejects when that can't be done with this key. */
  readonly verify: (signed: Buffer, signature: Buffer) => Promise<boolean>;
}

/** What kube-apiserver signs ServiceAccount tokens with, by the kind of its key (RFC 7518 sections 3.3 and 3.4). */
const kinds = [
  { algorithm: 'RS256', kty: 'RSA', crv: undefined, hash: 'sha256' },
  { algorithm: 'ES256', kty: 'EC', crv: 'P-256', hash: 'sha256' },
  { algorithm: 'ES384', kty: 'EC', crv: 'P-384', hash: 'sha384' },
  { algorithm: 'ES512', kty: 'EC', crv: 'P-521', hash: 'sha512' },
] as const;

export const algorithms: readonly string[] = kinds.map(({ algorithm }) => algorithm);

/** RFC 7518 section 3.3; a shorter one is nobody's whose word counts. */
const leastRsaBits = 2048;

/** Undefined: a key (RFC 7517) that signatures can't be verified with here. */
export function readVerifyingKey(jwk: Readonly<Record<string, unknown>>): VerifyingKey | undefined {
  const kind = kinds.find(({ kty, crv }) => kty === jwk['kty'] && crv === jwk['crv']);
  if (kind === undefined) return undefined;
  if (jwk['alg'] !== undefined && jwk['alg'] !== kind.algorithm) return undefined;
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') return undefined;
  const key = importKey(jwk);
  if (key === undefined) return undefined;
  if (kind.kty === 'RSA' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < leastRsaBits) return undefined;
  // Of a JWS the signature of an elliptic curve is both numbers, one after the other; of RSA it says nothing.
  const input = { key, dsaEncoding: 'ieee-p1363' } as const;
  return {
    algorithm: kind.algorithm,
    verify: (signed, signature) =>
      new Promise((resolve, reject) => {
        verify(kind.hash, signed, input, signature, (error, isValid) => {
          if (error === null) resolve(isValid);
          else reject(error);
        });
      }),
  };
}

function importKey(jwk: Readonly<Record<string, unknown>>): KeyObject | undefined {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    return undefined;
  }
}
