import { describe, expect, test } from 'vitest';
import {
  type RegistrarConfig,
  registrarSchema,
  resolveRegistrarPaths,
} from '../../src/process/registrar-config.ts';
import { parseInventory } from '../../src/process/registrar-inventory.ts';

const least = {
  escalation: 'the identity team',
  requester: 'the platform SREs',
  clusters: { file: 'clusters.yaml' },
  store: { kubernetes: {} },
  instances: [
    {
      name: 'auth.example.com',
      environment: 'prod',
      issuer: 'https://auth.example.com/auth/realms/staff',
      token: { secret: { name: 'iat' } },
    },
  ],
};
const [instance] = least.instances;

function mistakesIn(change: object): readonly string[] {
  const parsed = registrarSchema.safeParse({ ...least, ...change });
  return parsed.success
    ? []
    : parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('the section registrar', () => {
  test('needs little, and turns durations into milliseconds', () => {
    const parsed = registrarSchema.parse(least);
    expect(parsed).toMatchObject({
      intervalMs: 300_000,
      environment: 'production',
      integration: 'rhidp-sso-client',
      defaultAuthName: 'redhat-sso',
      scopes: ['web-origins', 'acr', 'profile', 'roles', 'email'],
      removal: { absentAfterMs: 604_800_000, replacedAfterMs: 3_600_000, capClients: 5, capPercent: 10 },
    });
    expect(parsed.instances[0]).toMatchObject({ lifeMs: 30 * 86_400_000, clients: 100, endpoint: 'default' });
    const stage = registrarSchema.parse({ ...least, instances: [{ ...instance, environment: 'stage' }] });
    expect(stage.instances[0]?.lifeMs).toBe(90 * 86_400_000);
  });

  test.each<readonly [object, string]>([
    [{ typo: 1 }, ': Unrecognized key: "typo"'],
    [{ clusters: {} }, 'clusters: must hold exactly one of file, configMap, ocm; none is there'],
    [
      { clusters: { file: 'x', configMap: { name: 'y' } } },
      'clusters: must hold exactly one of file, configMap, ocm; file and configMap are',
    ],
    [{ store: {} }, 'store: must hold exactly one of vault, kubernetes; none is there'],
    [{ store: { vault: { path: 'a/b' } } }, 'vault: is needed: something is kept in Vault'],
    [
      { store: { vault: { path: '/a/b' } } },
      'store.vault.path: must be mount and path, such as app-sre/creds/sso (no leading slash)',
    ],
    [{ instances: [] }, 'instances: must hold at least 1'],
    [
      { instances: [instance, { ...instance, name: 'other' }] },
      'instances.1.issuer: is that of another instance too',
    ],
    [
      { instances: [{ ...instance, issuer: 'https://x/' }] },
      'instances.0.issuer: must be an http(s) URL without a slash at its end',
    ],
    [
      { instances: [{ ...instance, renew: {} }] },
      'instances.0.renew: needs admin: nobody else may make tokens',
    ],
    [
      {
        instances: [
          {
            ...instance,
            life: '1d',
            admin: { clientId: 'x', clientSecretFile: 'y' },
            renew: { before: '2d' },
          },
        ],
      },
      "instances.0.renew.before: must be less than the token's life, or each would be renewed the moment it is made",
    ],
    [
      { interval: '5' },
      'interval: 5 has no unit; write 5s for seconds (units: ms, s, m, h, d; for example 30s, 1.5h, 1h30m)',
    ],
    [{ escalation: ' ' }, 'escalation: must be whom to turn to, in words'],
  ])('names the mistake in %j', (change, words) => {
    expect(mistakesIn(change)).toContain(words);
  });

  test('makes every path of a file absolute', () => {
    const parsed = registrarSchema.parse({
      ...least,
      clusters: { ocm: { tokenUrl: 'https://t/token', clientIdFile: 'id', clientSecretFile: 'secret' } },
      vault: { url: 'https://vault', appRole: { roleIdFile: 'role', secretIdFile: 'sid' } },
      instances: [{ ...instance, admin: { clientId: 'x', clientSecretFile: 'admin' } }],
    });
    const resolved: RegistrarConfig = resolveRegistrarPaths(parsed, (path) => `/etc/${path}`);
    const files = JSON.stringify(resolved).match(/"\w+File":"[^"]+"/g) ?? [];
    expect(files).toHaveLength(5);
    expect(files.every((text) => text.includes(':"/etc/'))).toBe(true);
    const file = resolveRegistrarPaths(registrarSchema.parse(least), (path) => `/etc/${path}`);
    expect(file.clusters.file).toBe('/etc/clusters.yaml');
  });
});

describe('an inventory of clusters', () => {
  const entry = '{name: a, organizationId: o1, consoleUrl: "https://console.example.com"}';

  test.each([`- ${entry}`, `clusters:\n- ${entry}`])('is a list, bare or under its key', (text) => {
    expect(parseInventory(text)).toEqual({
      clusters: [
        {
          name: 'a',
          organizationId: 'o1',
          status: 'enabled',
          ready: true,
          externalAuth: false,
          consoleUrl: 'https://console.example.com',
          authName: undefined,
          issuer: undefined,
          groupFilterRegex: undefined,
        },
      ],
    });
  });

  test('says "no clusters" only in words', () => {
    expect(parseInventory('[]')).toEqual({ clusters: [] });
    expect(parseInventory('')).toHaveProperty('mistakes');
    expect(parseInventory('clusters:')).toHaveProperty('mistakes');
    expect(parseInventory('null')).toHaveProperty('mistakes');
  });

  test('names every mistake at once', () => {
    const parsed = parseInventory(
      '- {name: a, organizationID: x}\n- {name: b, organizationId: y, status: on}\n',
    );
    const mistakes = 'mistakes' in parsed ? parsed.mistakes.join('\n') : '';
    expect(mistakes).toContain('organizationID');
    expect(mistakes).toContain('0.organizationId');
    expect(mistakes).toContain('1.status');
    expect(parseInventory('- {name: a')).toHaveProperty('mistakes');
  });
});
