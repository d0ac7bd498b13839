import { type DesiredClient, managedAttributes, type RegisteredClient, type StoredClient } from './client.ts';
import { textOf } from './document-store.ts';

/** One field that is not as wanted. Values are plain metadata; for secrets only the fact is told. */
export interface Difference {
  readonly field: string;
  readonly from: string;
  readonly to: string;
}

/** What the realm would have to change. Order in lists means nothing; only attributes that we manage count. */
export function differencesOf(desired: DesiredClient, registered: RegisteredClient): readonly Difference[] {
  const differences: Difference[] = [];
  const compare = (field: string, from: string, to: string): void => {
    if (from !== to) differences.push({ field, from, to });
  };
  compare('redirectUris', listed(registered.redirectUris), listed(desired.redirectUris));
  if (registered.scopes !== undefined) compare('scopes', listed(registered.scopes), listed(desired.scopes));
  for (const name of managedAttributes)
    compare(`attributes.${name}`, registered.attributes[name] ?? '', desired.attributes[name] ?? '');
  return differences;
}

/** What the stored record would have to change to say what the realm says. */
export function recordDifferences(stored: StoredClient, registered: RegisteredClient): readonly Difference[] {
  const differences: Difference[] = [];
  const compare = (field: string, from: string, to: string): void => {
    if (from !== to) differences.push({ field, from, to });
  };
  const secretChanged = (field: string, from: string | undefined, to: string): void => {
    if (from !== to) differences.push({ field, from: '(the stored one)', to: '(another)' });
  };
  compare('redirect_uris', listed(stored.redirectUris), listed(registered.redirectUris));
  compare('registration_client_uri', stored.registrationClientUri, registered.registrationClientUri);
  for (const name of managedAttributes)
    compare(`attributes.${name}`, textOf(stored.attributes[name]) ?? '', registered.attributes[name] ?? '');
  secretChanged(
    'registration_access_token',
    stored.registrationAccessToken?.reveal(),
    registered.registrationAccessToken.reveal(),
  );
  if (registered.clientSecret !== undefined)
    secretChanged('client_secret', stored.clientSecret.reveal(), registered.clientSecret.reveal());
  return differences;
}

function listed(values: readonly string[]): string {
  return [...values].sort().join(' ');
}
