import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createFetchJson } from '../../src/fetch-json.ts';
import { createOcmDiscovery } from '../../src/ocm/discover-clusters.ts';
import { createOcmClient } from '../../src/ocm/ocm-client.ts';
import type { Cluster } from '../../src/register/cluster.ts';
import { createSecret } from '../../src/secret.ts';
import { type OcmStandIn, startOcmStandIn } from './ocm-stand-in.ts';

const prefix = 'sre-capabilities.rhidp';
let ocm: OcmStandIn;

beforeEach(async () => {
  ocm = await startOcmStandIn();
});
afterEach(() => ocm.stop());

function discover(organizations?: readonly string[], secret = ocm.clientSecret): Promise<readonly Cluster[]> {
  const client = createOcmClient({
    url: ocm.url,
    tokenUrl: ocm.tokenUrl,
    clientId: async () => createSecret(ocm.clientId),
    clientSecret: async () => createSecret(secret),
    fetchJson: createFetchJson({ dependency: 'ocm', timeoutMs: 5_000 }),
    now: Date.now,
  });
  return createOcmDiscovery({ client, labelPrefix: prefix, organizations })(AbortSignal.timeout(10_000));
}

describe('discovering clusters by their labels', () => {
  test('reads what a cluster wants from its labels', async () => {
    ocm.addCluster({
      name: 'a',
      organization: 'o1',
      labels: {
        [`${prefix}.status`]: 'enforced',
        [`${prefix}.name`]: 'staff',
        [`${prefix}.issuer`]: 'https://sso.example.com/realms/x',
        [`${prefix}.group-filter-regex`]: '^a$',
        'something.else': 'enabled',
      },
    });
    expect(await discover()).toEqual([
      {
        name: 'a',
        organizationId: 'o1',
        status: 'enforced',
        ready: true,
        externalAuth: false,
        consoleUrl: 'https://console-openshift-console.apps.a.example.com',
        authName: 'staff',
        issuer: 'https://sso.example.com/realms/x',
        groupFilterRegex: '^a$',
      },
    ]);
  });

  test('takes the labels of the organization where the subscription has none of its own', async () => {
    ocm.labels.push(
      { key: `${prefix}.status`, value: 'enabled', type: 'Organization', organization_id: 'o1' },
      { key: `${prefix}.name`, value: 'of-all', type: 'Organization', organization_id: 'o1' },
    );
    ocm.addCluster({ name: 'a', organization: 'o1', labels: {} });
    ocm.addCluster({ name: 'b', organization: 'o1', labels: { [`${prefix}.status`]: 'disabled' } });
    ocm.addCluster({ name: 'c', organization: 'o2', labels: {} });
    const found = await discover();
    expect(found.map(({ name, status, authName }) => [name, status, authName])).toEqual([
      ['a', 'enabled', 'of-all'],
      ['b', 'disabled', 'of-all'],
    ]);
  });

  test('lets the older label win, and takes an unknown word for no order at all', async () => {
    ocm.addCluster({
      name: 'a',
      organization: 'o1',
      labels: { [prefix]: 'enabled', [`${prefix}.status`]: 'disabled' },
    });
    ocm.addCluster({ name: 'b', organization: 'o1', labels: { [prefix]: 'enabld' } });
    ocm.addCluster({ name: 'c', organization: 'o1', labels: { [`${prefix}.name`]: 'x' } });
    expect((await discover()).map(({ name, status }) => `${name} ${status}`)).toEqual(['a enabled']);
  });

  test('shows what is not ready, has no console or authenticates elsewhere, and leaves it to the plan', async () => {
    const labels = { [prefix]: 'enabled' };
    ocm.addCluster({ name: 'a', organization: 'o1', labels, fields: { state: 'hibernating' } });
    ocm.addCluster({ name: 'b', organization: 'o1', labels, fields: { console: {} } });
    ocm.addCluster({
      name: 'c',
      organization: 'o1',
      labels,
      fields: { external_auth_config: { enabled: true } },
    });
    ocm.addCluster({ name: 'd', organization: 'o1', labels, status: 'Deprovisioned' });
    ocm.addCluster({ name: 'e', organization: 'o1', labels, fields: { product: { id: 'ocp' } } });
    expect(
      (await discover()).map(({ name, ready, consoleUrl, externalAuth }) => [
        name,
        ready,
        consoleUrl !== undefined,
        externalAuth,
      ]),
    ).toEqual([
      ['a', false, true, false],
      ['b', true, false, false],
      ['c', true, true, true],
    ]);
  });

  test('reads every page of a long list', async () => {
    for (let index = 0; index < 230; index += 1)
      ocm.addCluster({ name: `c${index}`, organization: "o'1", labels: { [prefix]: 'enabled' } });
    expect(await discover()).toHaveLength(230);
    expect(ocm.requests().every((url) => url.href.length < 4_096)).toBe(true);
  });

  test('keeps to the organizations that are configured', async () => {
    ocm.addCluster({ name: 'a', organization: 'o1', labels: { [prefix]: 'enabled' } });
    ocm.addCluster({ name: 'b', organization: 'o2', labels: { [prefix]: 'enabled' } });
    expect((await discover(['o2'])).map(({ name }) => name)).toEqual(['b']);
  });
});

describe('a discovery that can not be trusted', () => {
  test('throws when a list is cut short', async () => {
    ocm.addCluster({ name: 'a', organization: 'o1', labels: { [prefix]: 'enabled' } });
    ocm.missing = 1;
    await expect(discover()).rejects.toMatchObject({ dependency: 'ocm', code: 'malformed' });
  });

  test('throws when an entry is not what it should be', async () => {
    ocm.addCluster({ name: 'a', organization: 'o1', labels: { [prefix]: 'enabled' }, fields: { name: 7 } });
    await expect(discover()).rejects.toMatchObject({ dependency: 'ocm', code: 'malformed' });
  });

  test('says that it is we who are refused when the credentials are', async () => {
    const error: unknown = await discover(undefined, 'wrong-secret').catch((cause: unknown) => cause);
    expect(error).toMatchObject({ dependency: 'ocm', code: 'misconfigured' });
    expect(String(error)).not.toContain('wrong-secret');
  });

  test('throws when nobody answers', async () => {
    await ocm.stop();
    await expect(discover()).rejects.toMatchObject({ dependency: 'ocm', code: 'unreachable' });
    ocm = await startOcmStandIn();
  });
});
