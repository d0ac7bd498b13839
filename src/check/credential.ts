import { createSecret, type Secret } from '../secret.ts';
import type { CheckInput } from './check-input.ts';
import { type Denied, denied } from './outcome.ts';

export interface CredentialOptions {
  /** Lower-case names of the headers that may carry the access token, `authorization` as `Bearer`, any other bare. */
  readonly headers: readonly string[];
}

/** No token of a Kubernetes cluster comes near this; a longer one is not worth a hash. */
const maxTokenLength = 16 * 1024;

/** RFC 6750 section 2.1: b64token. */
const bearerToken = /^[A-Za-z0-9\-._~+/]+=*$/;

/**
 * Headers → the access token, unprintable from here on.
 *
 * Refuses none at all (`credential_missing`), and whatever leaves doubt about which token is meant: another
 * scheme, characters outside RFC 6750, one header several times, two headers with different tokens
 * (`credential_malformed`).
 */
export function createReadCredential(options: CredentialOptions): (input: CheckInput) => Secret | Denied {
  const { headers } = options;
  return (input) => {
    let found: string | undefined;
    for (const name of headers) {
      const value = input.headers.get(name);
      if (value === undefined) continue;
      const token = name === 'authorization' ? tokenOfBearer(value) : value.trim();
      // A comma means that the header was sent more than once: no b64token holds one.
      if (token === undefined || token.length > maxTokenLength || !bearerToken.test(token)) {
        return denied('credential_malformed', `The ${name} header does not hold exactly one bearer token.`);
      }
      if (found !== undefined && found !== token) {
        return denied('credential_malformed', 'Two headers hold different tokens.');
      }
      found = token;
    }
    if (found === undefined) return denied('credential_missing', 'No access token was sent.');
    return createSecret(found);
  };
}

function tokenOfBearer(value: string): string | undefined {
  return /^bearer +/i.test(value) ? value.slice('bearer'.length).trim() : undefined;
}
