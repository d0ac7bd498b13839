import { setTimeout as sleep } from 'node:timers/promises';
import type { Keycloak, KeycloakRealm } from '../real/keycloak.ts';
import type { OutsideUnderTest } from './registrar-acceptance.ts';

/** A real Keycloak with whichever Vault. */
export function outsideOf(
  keycloak: Keycloak,
  realm: KeycloakRealm,
  vault: OutsideUnderTest['vault'],
): OutsideUnderTest {
  return {
    realm: { ...realm, otherIssuer: `${keycloak.url}/realms/master` },
    vault,
    foreignToken: async () => {
      const path = '/realms/master/clients-initial-access';
      const { body } = await keycloak.admin('POST', path, { expiration: 3600, count: 10 });
      return (body as { readonly token: string }).token;
    },
    expiredToken: async () => {
      const { token } = await realm.issueToken(1, 10);
      await sleep(1_200);
      return token;
    },
  };
}
