import { afterAll, beforeAll, expect, test } from 'vitest';
import { type KeycloakStandIn, startKeycloakStandIn } from './keycloak-stand-in.ts';
import { administrationAt, describeRegistration } from './registration-contract.ts';

let standIn: KeycloakStandIn;

beforeAll(async () => {
  standIn = await startKeycloakStandIn();
});
afterAll(() => standIn.stop());

describeRegistration('the stand-in', () => ({ ...standIn, otherIssuer: `${standIn.issuer}-other` }));

test('logs the administrator in once, and again when the realm has forgotten the login', async () => {
  const administration = administrationAt(standIn, 'default');
  const signal = AbortSignal.timeout(10_000);
  const logins = (): number => standIn.requests().filter((line) => line.endsWith('/token')).length;
  const before = logins();
  await administration.listTokens(signal);
  await administration.listTokens(signal);
  expect(logins() - before).toBe(1);
  standIn.endSessions();
  await administration.listTokens(signal);
  expect(logins() - before).toBe(2);
});
