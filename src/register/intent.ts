import { createSecret, type Secret } from '../secret.ts';
import { formatDocument, parseDocument, type StoredDocument, textOf } from './document-store.ts';

/**
 * Written before a client is registered or changed, removed when its record is stored: what a crash in
 * between leaves behind tells the next run what was under way. Writing it also proves that the store takes
 * writes before anything is done that would have to be stored.
 */
export interface Intent {
  readonly id: string;
  readonly version: string | undefined;
  readonly step: 'create' | 'update';
  /** Tells one attempt from another in the ledger of used registrations. */
  readonly nonce: string;
  readonly issuer: string;
  /** The secret that the client is registered with; absent in an update. */
  readonly clientSecret: Secret | undefined;
  /** `jti` of the Initial Access Token in use. */
  readonly tokenId: string | undefined;
}

const keyPrefix = 'intent.';

export function intentKey(id: string): string {
  return `${keyPrefix}${id}`;
}

/** The client's id, or undefined for a key that is not an intent's. */
export function idFromIntentKey(key: string): string | undefined {
  return key.startsWith(keyPrefix) ? key.slice(keyPrefix.length) : undefined;
}

/** Undefined: the document is no intent. */
export function readIntent(id: string, stored: StoredDocument): Intent | undefined {
  const fields = parseDocument(stored.content);
  const step = fields?.['step'];
  const nonce = textOf(fields?.['nonce']);
  const issuer = textOf(fields?.['issuer']);
  if (!fields || !nonce || !issuer || (step !== 'create' && step !== 'update')) return undefined;
  const clientSecret = textOf(fields['client_secret']);
  return {
    id,
    version: stored.version,
    step,
    nonce,
    issuer,
    clientSecret: clientSecret === undefined ? undefined : createSecret(clientSecret),
    tokenId: textOf(fields['initial_access_token_id']),
  };
}

export function formatIntent(intent: Intent): Secret {
  return formatDocument({
    step: intent.step,
    nonce: intent.nonce,
    issuer: intent.issuer,
    client_secret: intent.clientSecret?.reveal(),
    initial_access_token_id: intent.tokenId,
  });
}
