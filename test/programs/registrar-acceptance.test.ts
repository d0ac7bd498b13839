import { afterAll, beforeAll } from 'vitest';
import { type KeycloakStandIn, startKeycloakStandIn } from '../oidc/keycloak-stand-in.ts';
import { startVaultStandIn, type VaultStandIn } from '../vault/vault-stand-in.ts';
import { describeRegistrar } from './registrar-acceptance.ts';

let realm: KeycloakStandIn;
let other: KeycloakStandIn;
let vault: VaultStandIn;

beforeAll(async () => {
  realm = await startKeycloakStandIn();
  other = await startKeycloakStandIn('other');
  vault = await startVaultStandIn();
});
afterAll(() => Promise.all([realm.stop(), other.stop(), vault.stop()]));

describeRegistrar('stand-ins', () => ({
  realm: { ...realm, otherIssuer: other.issuer },
  vault: {
    ...vault,
    expireLogins: async () => vault.expireLogins(),
    setSealed: async (isSealed) => vault.setSealed(isSealed),
  },
  foreignToken: async () => (await other.issueToken(3600, 10)).token,
  expiredToken: async () => (await realm.issueToken(-60, 10)).token,
}));
