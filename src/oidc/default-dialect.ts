import { z } from 'zod';
import { managedAttributes } from '../register/client.ts';
import { createSecret } from '../secret.ts';
import type { Dialect } from './dialect.ts';

/** The part of Keycloak's ClientRepresentation that we read. */
const clientRepresentation = z.object({
  clientId: z.string(),
  secret: z.string().optional(),
  registrationAccessToken: z.string(),
  redirectUris: z.array(z.string()).default([]),
  defaultClientScopes: z.array(z.string()).optional(),
  attributes: z.record(z.string(), z.string()).default({}),
});

/** Sent every time: some versions take a client that does not say it is confidential for a public one. */
const confidential = { publicClient: false, directAccessGrantsEnabled: false };

/**
 * Keycloak's own endpoint: the client id, the secret, default scopes and attributes are ours to say. Its PUT
 * merges field by field, and an attribute is removed by an empty value (verified with 26.7.3).
 */
export const defaultDialect: Dialect = {
  path: 'clients-registrations/default',
  choosesCredentials: true,
  supportsAttributes: true,
  registration: (desired, clientSecret) => ({
    ...confidential,
    clientId: desired.id,
    secret: clientSecret.reveal(),
    redirectUris: desired.redirectUris,
    defaultClientScopes: desired.scopes,
    attributes: desired.attributes,
  }),
  update: (desired) => ({
    ...confidential,
    clientId: desired.id,
    redirectUris: desired.redirectUris,
    defaultClientScopes: desired.scopes,
    attributes: Object.fromEntries(managedAttributes.map((name) => [name, desired.attributes[name] ?? ''])),
  }),
  impossible: { redirectUris: ['not a url'] },
  read: (body, clientUri) => {
    const parsed = clientRepresentation.safeParse(body);
    if (!parsed.success) return undefined;
    const { clientId, secret, registrationAccessToken, redirectUris, defaultClientScopes, attributes } =
      parsed.data;
    return {
      clientId,
      clientSecret: secret === undefined ? undefined : createSecret(secret),
      registrationAccessToken: createSecret(registrationAccessToken),
      registrationClientUri: clientUri(clientId),
      redirectUris,
      scopes: defaultClientScopes,
      attributes,
    };
  },
};
