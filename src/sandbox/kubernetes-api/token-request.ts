import type { ObjectStore } from './object-store.ts';
import { type Fields, fieldsOf, isFields, type ObjectKey, type StoredObject, timestamp } from './objects.ts';
import { secrets, serviceAccounts } from './resources.ts';
import { readReview, readText, readTexts } from './review-body.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import { badRequest, conflict, invalid, invalidField, notFound } from './status.ts';

const tokenRequest = { group: 'authentication.k8s.io', kind: 'TokenRequest' } as const;

export interface TokenRequestOptions {
  readonly store: ObjectStore;
  readonly tokens: ServiceAccountTokens;
  /** The audiences of a token for which none are asked. */
  readonly apiAudiences: readonly string[];
  /**
   * `--service-account-max-token-expiration`: a longer request is shortened to it without an error, as the
   * real server does, so that only the answer tells. Undefined: no such limit.
   */
  readonly maxTokenExpirationSeconds: number | undefined;
  readonly now: () => number;
}

const defaultExpirationSeconds = 3600;
const minExpirationSeconds = 600;
const maxExpirationSeconds = 2 ** 32;

/** Answers a TokenRequest: a signed token of that ServiceAccount, bound to a Secret if the spec names one. */
export type RequestToken = (serviceAccount: ObjectKey, body: unknown) => Promise<unknown>;

export function createTokenRequest(options: TokenRequestOptions): RequestToken {
  const { store, tokens, apiAudiences, now } = options;

  return async ({ namespace, name }, body) => {
    const sent = readReview(tokenRequest, body);
    const spec = fieldsOf(sent['spec']);
    const serviceAccount = store.find(serviceAccounts, { namespace, name });
    if (serviceAccount === undefined) throw notFound(serviceAccounts, name);
    const sentName = readText(fieldsOf(sent['metadata']), 'name');
    if (sentName !== '' && sentName !== name)
      throw invalid(tokenRequest, name, [
        invalidField('metadata.name', sentName, 'must match the service account name if specified'),
      ]);
    const askedSeconds = readExpiration(spec);
    const expirationSeconds = Math.min(askedSeconds, options.maxTokenExpirationSeconds ?? askedSeconds);
    const askedAudiences = readTexts(spec, 'audiences');
    const audiences = askedAudiences.length === 0 ? apiAudiences : askedAudiences;
    const { boundObjectRef } = spec;
    const secret = isFields(boundObjectRef) ? boundSecret(store, namespace, boundObjectRef) : undefined;

    const issuedAtMs = now();
    const token = await tokens.sign({
      serviceAccount,
      ...(secret === undefined ? {} : { secret }),
      audiences,
      issuedAtMs,
      expirationSeconds,
    });
    return {
      kind: tokenRequest.kind,
      apiVersion: `${tokenRequest.group}/v1`,
      metadata: { name, namespace, creationTimestamp: timestamp(issuedAtMs) },
      spec: { audiences, expirationSeconds, boundObjectRef: boundObjectRef ?? null },
      status: { token, expirationTimestamp: timestamp(issuedAtMs + expirationSeconds * 1000) },
    };
  };
}

function readExpiration(spec: Fields): number {
  const seconds = spec['expirationSeconds'] ?? defaultExpirationSeconds;
  if (typeof seconds !== 'number' || !Number.isInteger(seconds))
    throw badRequest('expirationSeconds must be a whole number');
  const fault = (why: string) =>
    invalid(tokenRequest, '', [invalidField('spec.expirationSeconds', seconds, why)]);
  if (seconds < minExpirationSeconds) throw fault('may not specify a duration less than 10 minutes');
  if (seconds > maxExpirationSeconds) throw fault('may not specify a duration larger than 2^32 seconds');
  return seconds;
}

/** Tokens can be bound to Secrets here; the real server knows Pods and Nodes too. */
function boundSecret(store: ObjectStore, namespace: string, ref: Fields): StoredObject {
  const kind = readText(ref, 'kind');
  const name = readText(ref, 'name');
  const uid = readText(ref, 'uid');
  if (kind !== 'Secret' || readText(ref, 'apiVersion') !== 'v1')
    throw badRequest(`cannot bind token to object of type ${kind}`);
  const secret = store.find(secrets, { namespace, name });
  if (secret === undefined) throw notFound(secrets, name);
  if (uid !== '' && uid !== secret.metadata.uid)
    throw conflict(
      secrets,
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record`,
    );
  return secret;
}
