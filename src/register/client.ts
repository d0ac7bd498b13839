import { createSecret, type Secret } from '../secret.ts';
import {
  fieldsOf,
  formatDocument,
  parseDocument,
  type StoredDocument,
  textOf,
  textsOf,
} from './document-store.ts';

/** The OIDC client ("SSO profile") that one cluster should have. */
export interface DesiredClient {
  /** Key of the stored record, and the client id where the endpoint lets us choose it. At most 255 characters. */
  readonly id: string;
  /** URL of the realm, without a slash at its end. */
  readonly issuer: string;
  readonly redirectUris: readonly string[];
  /** Default client scopes. */
  readonly scopes: readonly string[];
  /** Only attributes that we manage, see {@link managedAttributes}. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** A client as its registration endpoint describes it. */
export interface RegisteredClient {
  readonly clientId: string;
  /** Absent where the endpoint does not repeat it. */
  readonly clientSecret: Secret | undefined;
  /** RFC 7592 section 3: may differ from the one we asked with, and then replaces it at once. */
  readonly registrationAccessToken: Secret;
  readonly registrationClientUri: string;
  readonly redirectUris: readonly string[];
  /** Undefined: the endpoint does not say. */
  readonly scopes: readonly string[] | undefined;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What the store holds of a client: all that is needed to use it, change it and delete it again. */
export interface StoredClient {
  readonly id: string;
  /** Of the document; undefined: it is not stored yet. */
  readonly version: string | undefined;
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: Secret;
  /** Undefined: lost; only an administrator can give out another. */
  readonly registrationAccessToken: Secret | undefined;
  readonly registrationClientUri: string;
  readonly redirectUris: readonly string[];
  readonly attributes: Readonly<Record<string, unknown>>;
  /** The document this was read from: fields that we don't know survive our writes. */
  readonly document: Secret;
}

/** The group filter is an attribute of the client in Keycloak; a scope of its own makes use of it. */
export const groupFilterAttribute = 'group-filter-regex';

/** Attributes that are compared and written; Keycloak keeps others on the client that are none of our business. */
export const managedAttributes: readonly string[] = [groupFilterAttribute];

/** Undefined: the document is no client record; nothing may be concluded from it, least of all a deletion. */
export function readStoredClient(id: string, stored: StoredDocument): StoredClient | undefined {
  const fields = parseDocument(stored.content);
  const clientId = textOf(fields?.['client_id']);
  const clientSecret = textOf(fields?.['client_secret']);
  const issuer = textOf(fields?.['issuer']);
  const registrationClientUri = textOf(fields?.['registration_client_uri']);
  const redirectUris = textsOf(fields?.['redirect_uris']);
  if (!fields || !clientId || !clientSecret || !issuer || !registrationClientUri || !redirectUris)
    return undefined;
  const registrationAccessToken = textOf(fields['registration_access_token']);
  return {
    id,
    version: stored.version,
    issuer,
    clientId,
    clientSecret: createSecret(clientSecret),
    registrationAccessToken:
      registrationAccessToken === undefined ? undefined : createSecret(registrationAccessToken),
    registrationClientUri,
    redirectUris,
    attributes: fieldsOf(fields['attributes']) ?? {},
    document: stored.content,
  };
}

/**
 * The record's text. Its eight keys are those that existing readers expect, all of them always there:
 * a lost registration access token is an empty string.
 */
export function formatStoredClient(client: StoredClient): Secret {
  return formatDocument({
    ...parseDocument(client.document),
    client_id: client.clientId,
    client_name: client.id,
    client_secret: client.clientSecret.reveal(),
    redirect_uris: client.redirectUris,
    registration_access_token: client.registrationAccessToken?.reveal() ?? '',
    registration_client_uri: client.registrationClientUri,
    issuer: client.issuer,
    attributes: client.attributes,
  });
}

const emptyDocument = formatDocument({});

/** The record of a client that was just registered, to be stored for the first time or over `previous`. */
export function recordOf(
  desired: DesiredClient,
  registered: RegisteredClient,
  clientSecret: Secret,
  previous?: StoredClient,
): StoredClient {
  return {
    id: desired.id,
    version: previous?.version,
    issuer: desired.issuer,
    clientId: registered.clientId,
    clientSecret,
    registrationAccessToken: registered.registrationAccessToken,
    registrationClientUri: registered.registrationClientUri,
    redirectUris: registered.redirectUris,
    attributes: registered.attributes,
    document: previous?.document ?? emptyDocument,
  };
}

/** The stored record with what an answer of the registration endpoint says now. The secret stays if it is not repeated. */
export function recordAfter(stored: StoredClient, registered: RegisteredClient): StoredClient {
  return {
    ...stored,
    clientSecret: registered.clientSecret ?? stored.clientSecret,
    registrationAccessToken: registered.registrationAccessToken,
    registrationClientUri: registered.registrationClientUri,
    redirectUris: registered.redirectUris,
    attributes: registered.attributes,
  };
}
