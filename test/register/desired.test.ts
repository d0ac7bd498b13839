import { describe, expect, test } from 'vitest';
import { callbackUrl, desireClients } from '../../src/register/desired.ts';
import type { Cluster } from '../../src/register/cluster.ts';
import { cluster, desiredOptions, issuer } from './world.ts';

function desire(...clusters: readonly Cluster[]) {
  const desired = desireClients(clusters, { ...desiredOptions, defaultIssuer: issuer });
  return { ids: [...desired.clientById.keys()], desired };
}

describe('the client that a cluster wants', () => {
  test('is named by cluster, organization, auth name and host of the issuer', () => {
    expect(desire(cluster('c', { organizationId: '1AbC' })).ids).toEqual([
      'c-1AbC-redhat-sso-sso.example.com',
    ]);
    expect(
      desire(cluster('c', { authName: ' my  name ', issuer: 'https://other.example.com/realms/x/' })).ids,
    ).toEqual(['c-o1-my-name-other.example.com']);
  });

  test.each([
    [
      'https://console-openshift-console.apps.c.example.com',
      'https://oauth-openshift.apps.c.example.com/oauth2callback/sso',
    ],
    [
      'https://console-openshift-console.apps.rosa.c.abcd.p3.openshiftapps.com/',
      'https://oauth.c.abcd.p3.openshiftapps.com:443/oauth2callback/sso',
    ],
    [
      'https://console-openshift-console.apps.rosa.c.abcd.p3.openshiftapps.com:8443',
      'https://oauth.c.abcd.p3.openshiftapps.com:8443/oauth2callback/sso',
    ],
    ['no url', ''],
  ])('goes back from %s to %s', (consoleUrl, expected) => {
    expect(callbackUrl(consoleUrl, 'sso')).toBe(expected);
  });

  test('has the scope and the attribute of a group filter, or neither', () => {
    const { desired } = desire(cluster('a'), cluster('b', { groupFilterRegex: '^x' }));
    const [plain, filtered] = [...desired.clientById.values()];
    expect(plain).toMatchObject({ attributes: {}, scopes: desiredOptions.scopes });
    expect(filtered).toMatchObject({ attributes: { 'group-filter-regex': '^x' } });
    expect(filtered?.scopes).toContain('regex-filtered-groups');
  });

  test.each([
    ['disabled', { status: 'disabled' }],
    ['not ready', { ready: false }],
    ['without a console', { consoleUrl: undefined }],
    ['authenticating elsewhere', { externalAuth: true }],
  ] as const)('is none for a cluster that is %s', (_name, fields) => {
    expect(desire(cluster('a', fields)).ids).toEqual([]);
  });

  test.each(['enabled', 'enforced', 'sso-client-only'] as const)('is wanted with the status %s', (status) => {
    expect(desire(cluster('a', { status })).ids).toHaveLength(1);
  });

  test.each<readonly [string, Partial<Cluster>]>([
    [
      'a redirect URI that is not https',
      { consoleUrl: 'http://console-openshift-console.apps.x.example.com' },
    ],
    ['a wildcard', { consoleUrl: 'https://*.example.com' }],
    ['an id that is too long', { authName: 'x'.repeat(250) }],
    ['an issuer that is no URL', { issuer: 'sso.example.com' }],
    ['a slash in its id', { authName: 'a/b' }],
  ])('is refused for %s, and named', (_name, fields) => {
    const { ids, desired } = desire(cluster('a', fields), cluster('b'));
    expect(ids).toEqual(['b-o1-redhat-sso-sso.example.com']);
    expect(desired.findings).toMatchObject([{ kind: 'cluster_invalid' }]);
    expect(desired.unclearIds.size).toBe(1);
  });

  test("is nobody's when two clusters would share it", () => {
    const { ids, desired } = desire(cluster('a'), cluster('a'), cluster('a'));
    expect(ids).toEqual([]);
    expect(desired.findings).toMatchObject([
      { kind: 'cluster_invalid', detail: 'two clusters would share it' },
      {},
    ]);
  });
});
