import { z } from 'zod';
import { createSecret } from '../secret.ts';
import type { Dialect } from './dialect.ts';

/** Client metadata of RFC 7591 section 2 and the answer's own fields (RFC 7591 section 3.2.1, RFC 7592 section 3). */
const clientInformation = z.object({
  client_id: z.string(),
  client_secret: z.string().optional(),
  registration_access_token: z.string(),
  registration_client_uri: z.string(),
  redirect_uris: z.array(z.string()).default([]),
});

/** RFC 7592 section 2.2: what an update must not repeat. */
const answerOnly = new Set([
  'registration_access_token',
  'registration_client_uri',
  'client_secret_expires_at',
  'client_id_issued_at',
]);

/**
 * The standard's endpoint: the server chooses id and secret, and our id is only the client's name. Its PUT
 * replaces all fields. Scopes are asked for and not compared: the answer leaves out those that never show in
 * a token (verified with Keycloak 26.7.3), and would look different for ever.
 */
export const openidConnectDialect: Dialect = {
  path: 'clients-registrations/openid-connect',
  choosesCredentials: false,
  supportsAttributes: false,
  registration: (desired) => ({
    client_name: desired.id,
    redirect_uris: desired.redirectUris,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
    scope: desired.scopes.join(' '),
  }),
  update: (desired, current) => ({
    ...Object.fromEntries(Object.entries(current).filter(([name]) => !answerOnly.has(name))),
    client_name: desired.id,
    redirect_uris: desired.redirectUris,
    scope: desired.scopes.join(' '),
  }),
  impossible: { redirect_uris: ['not a url'] },
  read: (body) => {
    const parsed = clientInformation.safeParse(body);
    if (!parsed.success) return undefined;
    const { client_id, client_secret, registration_access_token, registration_client_uri, redirect_uris } =
      parsed.data;
    return {
      clientId: client_id,
      clientSecret: client_secret === undefined ? undefined : createSecret(client_secret),
      registrationAccessToken: createSecret(registration_access_token),
      registrationClientUri: registration_client_uri,
      redirectUris: redirect_uris,
      scopes: undefined,
      attributes: {},
    };
  },
};
