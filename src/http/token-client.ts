import type { HeldToken, MintRemotely } from '../issue/fresh-token.ts';
import { createSecret, type Secret } from '../secret.ts';
import { apiUrl, fault, record, refusalFrom, sendToIssuer } from './issuer-client.ts';

export interface TokenClientOptions {
  /** Of the token API, with its prefix: `https://gateway.example/maas-api`. */
  readonly url: URL;
  /** Of the cluster. */
  readonly clusterToken: Secret;
  readonly expiration: string | undefined;
  readonly name: string | undefined;
  readonly timeoutMs: number;
}

/**
 * Mints over HTTP. Follows no redirect, since the cluster's token would go along. Throws DependencyError (`issuer`) for
 * whatever is not an answer of the token API, and for its 5xx.
 */
export function createMintRemotely(options: TokenClientOptions): MintRemotely {
  const { url, clusterToken, expiration, name, timeoutMs } = options;
  const target = apiUrl(url, '/v1/tokens');
  const body = {
    ...(expiration !== undefined && { expiration }),
    ...(name !== undefined && { name }),
  };
  return async () => {
    const answer = await sendToIssuer({ target, method: 'POST', clusterToken, body, timeoutMs });
    if (answer.status === 201) return heldFrom(answer.body);
    return refusalFrom(answer);
  };
}

function heldFrom(body: unknown): HeldToken {
  const { token, id, issuedAt, expiresAt } = record(body);
  // Goes into shells and headers: nothing but what RFC 6750 lets a token hold.
  if (typeof token !== 'string' || !/^[A-Za-z0-9\-._~+/]+=*$/.test(token)) {
    throw fault('malformed', 'an answer without a token');
  }
  if (typeof issuedAt !== 'number' || typeof expiresAt !== 'number') {
    throw fault('malformed', 'a token without an end');
  }
  return {
    token: createSecret(token),
    id: typeof id === 'string' ? id : '',
    issuedAtMs: issuedAt * 1000,
    expiresAtMs: expiresAt * 1000,
  };
}
