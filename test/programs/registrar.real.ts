import { afterAll, beforeAll } from 'vitest';
import { type Keycloak, type KeycloakRealm, startKeycloak } from '../real/keycloak.ts';
import { describeRegistration } from '../oidc/registration-contract.ts';
import { describeCrashes } from '../register/crash-contract.ts';
import { startVaultStandIn, type VaultStandIn } from '../vault/vault-stand-in.ts';
import { describeRegistrar, describeRenewalInTime } from './registrar-acceptance.ts';
import { outsideOf } from './registrar-outside.ts';

let keycloak: Keycloak;
let realm: KeycloakRealm;
let vault: VaultStandIn;

beforeAll(async () => {
  [keycloak, vault] = [await startKeycloak(), await startVaultStandIn()];
  realm = await keycloak.createRealm('staff');
});
afterAll(() => Promise.all([keycloak.stop(), vault.stop()]));

const outside = () =>
  outsideOf(keycloak, realm, {
    ...vault,
    expireLogins: async () => vault.expireLogins(),
    setSealed: async (isSealed) => vault.setSealed(isSealed),
  });

// All of them in one file: a Keycloak takes half a minute to start.
describeRegistration('a real Keycloak', () => outside().realm);
describeCrashes('a real Keycloak', () => outside().realm);
describeRegistrar('a real Keycloak', outside);
describeRenewalInTime('a real Keycloak', outside);
