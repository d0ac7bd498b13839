import { afterAll, beforeAll } from 'vitest';
import { type Keycloak, type KeycloakRealm, startKeycloak } from '../real/keycloak.ts';
import { startVault, type Vault } from '../real/vault.ts';
import { describeRegistrar, describeRenewalInTime } from './registrar-acceptance.ts';
import { outsideOf } from './registrar-outside.ts';

let keycloak: Keycloak;
let realm: KeycloakRealm;
let vault: Vault;

beforeAll(async () => {
  [keycloak, vault] = [await startKeycloak(), await startVault()];
  realm = await keycloak.createRealm('staff');
});
afterAll(() => Promise.all([keycloak.stop(), vault.stop()]));

const outside = () => outsideOf(keycloak, realm, vault);

describeRegistrar('a real Keycloak and a real Vault', outside);
describeRenewalInTime('a real Keycloak and a real Vault', outside);
