import { readJwtClaims } from '../check/jwt.ts';
import type { RequestToken } from '../issue/token-record.ts';
import { createSecret } from '../secret.ts';
import { malformed } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';
import { unexpected } from './list-objects.ts';

/**
 * TokenRequest (`authentication.k8s.io/v1`) for our audience, bound to the record's Secret. A cluster with a maximum
 * shortens without a word; over 2^32 seconds it answers 422.
 */
export function createRequestToken(
  client: Pick<KubernetesClient, 'request'>,
  audience: string,
): RequestToken {
  return async ({ account, record, lifetimeSeconds }) => {
    const answer = await client.request({
      method: 'POST',
      path: `/api/v1/namespaces/${encodeURIComponent(account.namespace)}/serviceaccounts/${encodeURIComponent(account.name)}/token`,
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences: [audience],
          expirationSeconds: lifetimeSeconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: `tgt-${record.id}`, uid: record.uid },
        },
      },
    });
    // 409: the Secret there is another one by now.
    if (answer.status === 404 || answer.status === 409) return 'gone';
    if (answer.status === 422 && blamesLifetime(answer.body)) return 'too_long';
    if (answer.status !== 201) throw unexpected(answer);
    const status = isRecord(answer.body) ? answer.body['status'] : undefined;
    const token = isRecord(status) ? status['token'] : undefined;
    const expires = isRecord(status) ? status['expirationTimestamp'] : undefined;
    if (typeof token !== 'string' || typeof expires !== 'string')
      throw malformed('a TokenRequest without a token');
    const claims = readJwtClaims(token);
    const expiresAtMs = Date.parse(expires);
    if (
      claims?.issuedAtMs === undefined ||
      claims.serviceAccountUid === undefined ||
      Number.isNaN(expiresAtMs)
    ) {
      throw malformed('a TokenRequest whose token does not say whose it is and since when');
    }
    return {
      token: createSecret(token),
      // Clusters before 1.30 name no token; ours has a name of its own.
      jti: claims.jti ?? record.id,
      issuedAtMs: claims.issuedAtMs,
      expiresAtMs,
      accountUid: claims.serviceAccountUid,
    };
  };
}

/** Whether a Status (`meta/v1`) of 422 is about the lifetime, not about anything that we got wrong. */
function blamesLifetime(status: unknown): boolean {
  const details = isRecord(status) ? status['details'] : undefined;
  const causes = isRecord(details) ? details['causes'] : undefined;
  return (
    Array.isArray(causes) &&
    causes.some((cause) => isRecord(cause) && cause['field'] === 'spec.expirationSeconds')
  );
}
