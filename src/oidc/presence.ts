import { z } from 'zod';
import { faultFromStatus, type FetchJson, type JsonCall } from '../fetch-json.ts';
import { realmDependency } from '../register/apply.ts';
import type { Presence } from '../register/registration.ts';
import { createSecret, type Secret } from '../secret.ts';
import { readOauthError } from './oauth-error.ts';

interface Realm {
  readonly issuer: string;
  readonly fetchJson: FetchJson;
}

interface ClientLogin {
  readonly clientId: string;
  readonly clientSecret: Secret;
}

/** Keycloak's words (26.7.3). Other words are no evidence of anything. */
const wordsForRightSecret = 'Client not enabled to retrieve service account';
const wordsForWrongSecret = 'Invalid client or Invalid client credentials';
const wordsForGone = 'Client not found.';
const wordsForDisabled = 'Client disabled.';

/**
 * Asks with the client's own id and secret. The token endpoint says `unauthorized_client` of a client that
 * exists, right secret or wrong, and `invalid_client` both of one that is gone and of one that is disabled;
 * only the authorization endpoint tells these two apart.
 */
export async function findClient(realm: Realm, login: ClientLogin, signal: AbortSignal): Promise<Presence> {
  const call: JsonCall = {
    name: 'find_client',
    method: 'POST',
    url: `${realm.issuer}/protocol/openid-connect/token`,
    headers: { authorization: basicAuthorization(login) },
    contentType: 'application/x-www-form-urlencoded',
    body: createSecret('grant_type=client_credentials'),
  };
  const { status, body } = await realm.fetchJson(call, signal);
  // A client that may log in by itself: a token that nobody uses, for proof.
  if (status === 200) return 'present';
  if (status !== 400 && status !== 401) throw faultFromStatus(realmDependency, call, status);
  const { error, description } = readOauthError(body);
  if (error === 'unauthorized_client') {
    if (description === wordsForRightSecret) return 'present';
    return description === wordsForWrongSecret ? 'other_secret' : 'unclear';
  }
  return error === 'invalid_client' ? isKnown(realm, login.clientId, signal) : 'unclear';
}

const errorPage = z.object({ error: z.string() });

async function isKnown(realm: Realm, clientId: string, signal: AbortSignal): Promise<Presence> {
  const query = new URLSearchParams({ client_id: clientId, response_type: 'code', scope: 'openid' });
  const call: JsonCall = {
    name: 'find_client',
    method: 'GET',
    url: `${realm.issuer}/protocol/openid-connect/auth?${query.toString()}`,
  };
  const { status, body } = await realm.fetchJson(call, signal);
  const page = errorPage.safeParse(body);
  if (status !== 400 || !page.success) return 'unclear';
  if (page.data.error === wordsForGone) return 'gone';
  return page.data.error === wordsForDisabled ? 'disabled' : 'unclear';
}

/** RFC 6749 section 2.3.1: both are form-encoded before they are put together. */
export function basicAuthorization({ clientId, clientSecret }: ClientLogin): Secret {
  const pair = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret.reveal())}`;
  return createSecret(`Basic ${Buffer.from(pair).toString('base64')}`);
}
