import { afterAll, beforeAll } from 'vitest';
import { type Keycloak, type KeycloakRealm, startKeycloak } from '../real/keycloak.ts';
import { describeRegistration } from './registration-contract.ts';

let keycloak: Keycloak;
let realm: KeycloakRealm;

beforeAll(async () => {
  keycloak = await startKeycloak();
  realm = await keycloak.createRealm('staff');
});
afterAll(() => keycloak.stop());

describeRegistration('a real Keycloak', () => ({ ...realm, otherIssuer: `${keycloak.url}/realms/master` }));
