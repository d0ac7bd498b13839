import { describe, expect, test } from 'vitest';
import { createFetchJson } from '../../src/fetch-json.ts';
import { createAdministration } from '../../src/oidc/administration.ts';
import { createClientRegistration, type RegistrationEndpoint } from '../../src/oidc/client-registration.ts';
import { type DesiredClient, recordAfter, recordOf, type StoredClient } from '../../src/register/client.ts';
import { decodeIat } from '../../src/register/iat-token.ts';
import type { Administration, Registration } from '../../src/register/registration.ts';
import { createSecret } from '../../src/secret.ts';
import { iatText } from '../register/memory-realm.ts';

/** A realm under test: Keycloak's, or one that claims to answer like it. */
export interface RealmUnderTest {
  readonly issuer: string;
  /** Of another realm on the same server, where there is one. */
  readonly otherIssuer: string;
  readonly renewer: { readonly clientId: string; readonly clientSecret: string };
  readonly issueToken: (
    lifeSeconds: number,
    clients: number,
  ) => Promise<{ readonly id: string; readonly token: string }>;
  readonly revokeToken: (id: string) => Promise<void>;
  readonly remainingOf: (id: string) => Promise<number | undefined>;
  readonly clientIds: () => Promise<readonly string[]>;
  readonly setEnabled: (clientId: string, enabled: boolean) => Promise<void>;
  readonly setSecret: (clientId: string, secret: string) => Promise<void>;
}

const signal = new AbortController().signal;
const secret = createSecret('a-secret-of-our-own-choice');
let serial = 0;

function wanted(fields: Partial<DesiredClient> = {}): DesiredClient {
  serial += 1;
  return {
    id: `cluster-${serial}-1Org2-redhat-sso-host.example.com`,
    issuer: '',
    redirectUris: [`https://oauth-openshift.apps.c${serial}.example.com/oauth2callback/redhat-sso`],
    scopes: ['web-origins', 'acr', 'profile', 'roles', 'email'],
    attributes: {},
    ...fields,
  };
}

export function registrationAt(
  realm: Pick<RealmUnderTest, 'issuer'>,
  endpoint: RegistrationEndpoint,
): Registration {
  return createClientRegistration({
    issuer: realm.issuer,
    endpoint,
    fetchJson: createFetchJson({ dependency: 'oidc', timeoutMs: 20_000 }),
  });
}

export function administrationAt(
  realm: Pick<RealmUnderTest, 'issuer' | 'renewer'>,
  endpoint: RegistrationEndpoint,
): Administration {
  return createAdministration({
    issuer: realm.issuer,
    endpoint,
    clientId: realm.renewer.clientId,
    clientSecret: async () => createSecret(realm.renewer.clientSecret),
    fetchJson: createFetchJson({ dependency: 'oidc', timeoutMs: 20_000 }),
    now: Date.now,
  });
}

/** What the registrar counts on, said once and run against every realm. */
export function describeRegistration(name: string, realmUnderTest: () => RealmUnderTest): void {
  const register = async (endpoint: RegistrationEndpoint, desired: DesiredClient): Promise<StoredClient> => {
    const { token } = await realmUnderTest().issueToken(600, 1);
    const answer = await registrationAt(realmUnderTest(), endpoint).register(
      desired,
      secret,
      createSecret(token),
      signal,
    );
    if (answer.outcome !== 'registered') throw new Error(JSON.stringify(answer));
    return recordOf(desired, answer.client, answer.client.clientSecret ?? secret);
  };

  describe.each(['default', 'openid-connect'] as const)(`${name}, the endpoint /%s`, (endpoint) => {
    test('registers, reads, changes and removes a client', async () => {
      const realm = realmUnderTest();
      const registration = registrationAt(realm, endpoint);
      const desired = wanted();
      let stored = await register(endpoint, desired);
      expect(await realm.clientIds()).toContain(stored.clientId);
      expect(
        stored.registrationClientUri.startsWith(`${realm.issuer}/clients-registrations/${endpoint}/`),
      ).toBe(true);

      const read = await registration.read(stored, signal);
      if (read.outcome !== 'registered') throw new Error(read.outcome);
      expect(read.client.redirectUris).toEqual(desired.redirectUris);
      expect(read.client.clientSecret?.reveal()).toBe(stored.clientSecret.reveal());
      expect(read.client.registrationAccessToken.reveal()).toBe(stored.registrationAccessToken?.reveal());
      expect([...(read.client.scopes ?? desired.scopes)].sort()).toEqual([...desired.scopes].sort());

      const moved = { ...desired, redirectUris: ['https://moved.example.com/oauth2callback/x'] };
      const updated = await registration.update(stored, moved, signal);
      if (updated.outcome !== 'registered') throw new Error(updated.outcome);
      expect(updated.client.redirectUris).toEqual(moved.redirectUris);
      expect(await registration.read(stored, signal)).toEqual({ outcome: 'token_refused' });
      stored = recordAfter(stored, updated.client);
      expect(stored.clientSecret.reveal()).toBe(read.client.clientSecret?.reveal());
      expect((await registration.read(stored, signal)).outcome).toBe('registered');

      expect(await registration.remove(stored, signal)).toBe('removed');
      expect(await registration.remove(stored, signal)).toBe('token_refused');
      expect(await realm.clientIds()).not.toContain(stored.clientId);
    });

    test('tells a client that is there from one that is gone, disabled or has another secret', async () => {
      const realm = realmUnderTest();
      const registration = registrationAt(realm, endpoint);
      const stored = await register(endpoint, wanted());
      const { clientId, clientSecret } = stored;
      expect(await registration.find(clientId, clientSecret, signal)).toBe('present');
      expect(await registration.find(clientId, createSecret('not its secret'), signal)).toBe('other_secret');
      await realm.setEnabled(clientId, false);
      expect(await registration.find(clientId, clientSecret, signal)).toBe('disabled');
      expect(await registration.remove(stored, signal)).toBe('token_refused');
      await realm.setEnabled(clientId, true);
      await realm.setSecret(clientId, 'changed-behind-our-back');
      expect(await registration.find(clientId, clientSecret, signal)).toBe('other_secret');
      await registration.remove(stored, signal);
      expect(await registration.find(clientId, clientSecret, signal)).toBe('gone');
    });

    test('probes a token without using it up or leaving a client', async () => {
      const realm = realmUnderTest();
      const registration = registrationAt(realm, endpoint);
      const { id, token } = await realm.issueToken(600, 1);
      const before = await realm.clientIds();
      expect(await registration.probe(createSecret(token), signal)).toBe('usable');
      expect(await registration.probe(createSecret(token), signal)).toBe('usable');
      expect(await realm.remainingOf(id)).toBe(1);
      expect(await realm.clientIds()).toEqual(before);
    });

    test('says what is wrong with a token, to a probe and to a registration alike', async () => {
      const realm = realmUnderTest();
      const registration = registrationAt(realm, endpoint);
      const used = await realm.issueToken(600, 1);
      const first = await registration.register(wanted(), secret, createSecret(used.token), signal);
      expect(first.outcome).toBe('registered');
      const revoked = await realm.issueToken(600, 1);
      await realm.revokeToken(revoked.id);
      const cases = [
        ['exhausted', used.token],
        ['unknown', revoked.token],
        ['undecodable', 'garbage'],
        ['undecodable', iatText({ iss: realm.otherIssuer, jti: 'x', exp: 0 })],
      ] as const;
      for (const [reason, text] of cases) {
        expect(await registration.probe(createSecret(text), signal)).toBe(reason);
        expect(await registration.register(wanted(), secret, createSecret(text), signal)).toEqual({
          outcome: 'token_refused',
          reason,
        });
      }
    });

    test('gives out a new registration access token through the administrator, and the old one dies', async () => {
      const realm = realmUnderTest();
      const registration = registrationAt(realm, endpoint);
      const administration = administrationAt(realm, endpoint);
      const desired = wanted();
      const stored = await register(endpoint, desired);
      const reference =
        endpoint === 'default'
          ? ({ by: 'clientId', value: stored.clientId } as const)
          : ({ by: 'name', value: desired.id } as const);
      const recovered = await administration.recoverClient(reference, signal);
      expect(recovered?.clientSecret?.reveal()).toBe(stored.clientSecret.reveal());
      expect(recovered?.redirectUris).toEqual(desired.redirectUris);
      expect(await registration.read(stored, signal)).toEqual({ outcome: 'token_refused' });
      if (recovered === undefined) throw new Error('not recovered');
      expect(await registration.remove(recordAfter(stored, recovered), signal)).toBe('removed');
      expect(await administration.recoverClient(reference, signal)).toBeUndefined();
    });
  });

  describe(`${name}, what /default alone can do`, () => {
    test('takes the client id and the secret that we chose, and a group filter', async () => {
      const registration = registrationAt(realmUnderTest(), 'default');
      const desired = wanted({
        scopes: [...wanted().scopes, 'regex-filtered-groups'],
        attributes: { 'group-filter-regex': '^team-(a|b)$' },
      });
      const stored = await register('default', desired);
      expect(stored.clientId).toBe(desired.id);
      expect(stored.clientSecret.reveal()).toBe(secret.reveal());
      expect(stored.attributes['group-filter-regex']).toBe('^team-(a|b)$');
      const plain = { ...desired, scopes: wanted().scopes, attributes: {} };
      const updated = await registration.update(stored, plain, signal);
      if (updated.outcome !== 'registered') throw new Error(updated.outcome);
      const read = await registration.read(recordAfter(stored, updated.client), signal);
      if (read.outcome !== 'registered') throw new Error(read.outcome);
      expect(read.client.attributes['group-filter-regex']).toBeUndefined();
      expect([...(read.client.scopes ?? [])].sort()).toEqual([...plain.scopes].sort());
    });

    test('takes ids with blanks, slashes and letters beyond ASCII', async () => {
      const registration = registrationAt(realmUnderTest(), 'default');
      const desired = wanted({ id: `blank slash/ü% ${Date.now()}` });
      const stored = await register('default', desired);
      expect((await registration.read(stored, signal)).outcome).toBe('registered');
      expect(await registration.remove(stored, signal)).toBe('removed');
    });

    test('tells an id that is taken from metadata that is refused; neither uses the token up', async () => {
      const realm = realmUnderTest();
      const registration = registrationAt(realm, 'default');
      const desired = wanted();
      await register('default', desired);
      const { id, token } = await realm.issueToken(600, 1);
      const again = await registration.register(desired, secret, createSecret(token), signal);
      expect(again).toEqual({ outcome: 'identifier_taken' });
      const unknownScope = wanted({ scopes: ['profile', 'nobody-knows-it'] });
      const refused = await registration.register(unknownScope, secret, createSecret(token), signal);
      expect(refused.outcome).toBe('refused');
      expect(refused).toHaveProperty('detail', expect.stringContaining('Allowed Client Scopes'));
      expect(await realm.remainingOf(id)).toBe(1);
    });
  });

  describe(`${name}, Initial Access Tokens by the administrator`, () => {
    test('makes, lists, counts down and revokes them', async () => {
      const realm = realmUnderTest();
      const administration = administrationAt(realm, 'default');
      const registration = registrationAt(realm, 'default');
      const created = await administration.createToken(3_600_000, 2, signal);
      const claims = decodeIat(created.token);
      expect(claims).toMatchObject({ id: created.id, issuer: realm.issuer, type: 'InitialAccessToken' });
      expect((claims?.expiresAtMs ?? 0) - (claims?.issuedAtMs ?? 0)).toBe(3_600_000);
      await registration.register(wanted(), secret, created.token, signal);
      expect(await administration.listTokens(signal)).toContainEqual({ id: created.id, remaining: 1 });
      await administration.revokeToken(created.id, signal);
      await administration.revokeToken(created.id, signal);
      expect(await registration.probe(created.token, signal)).toBe('unknown');
    });

    test('says that it is we who are refused when the account is', async () => {
      const realm = realmUnderTest();
      const renewer = { ...realm.renewer, clientSecret: 'not its secret' };
      const administration = administrationAt({ issuer: realm.issuer, renewer }, 'default');
      await expect(administration.listTokens(signal)).rejects.toMatchObject({
        dependency: 'oidc',
        code: 'misconfigured',
      });
    });
  });
}
