import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deploymentOf } from './deployment.ts';
import { chart, deployFolder, helm, helmTemplate, kustomize, kustomizeWith, withValues } from './render.ts';
import { comparable } from './same-objects.ts';

const registrarFile = parse(
  readFileSync(join(deployFolder, 'components/registrar/config/registrar.yaml'), 'utf8'),
) as { readonly registrar: object };

/** Made by whoever installs: helm by `--create-namespace`. */
const ownNamespace = 'Namespace /tiergate';

function withoutOwnNamespace(objects: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(objects).filter(([key]) => key !== ownNamespace));
}

describe('the chart', () => {
  it('makes by default what deploy/base makes, object by object', async () => {
    const base = comparable(await kustomize('base'));
    expect(Object.keys(base)).toContain(ownNamespace);
    const made = comparable(await helmTemplate());
    expect(Object.keys(made).toSorted()).toEqual(Object.keys(withoutOwnNamespace(base)).toSorted());
    for (const [key, object] of Object.entries(made)) expect(object, key).toEqual(base[key]);
  });

  it('makes with everything switched on what the components make', async () => {
    const base = comparable(
      await kustomizeWith('base', [
        'components/registrar',
        'components/monitoring',
        'components/registrar-monitoring',
        'components/create-namespaces',
        'components/openshift',
        'components/http-door',
      ]),
    );
    const made = comparable(
      await helmTemplate({
        registrar: { enabled: true, config: registrarFile.registrar },
        monitoring: { enabled: true },
        issuer: { createNamespaces: true },
        podSecurityContext: { fsGroup: null },
        config: { listeners: { http: { profile: 'nginx' } } },
      }),
    );
    expect(Object.keys(made).toSorted()).toEqual(Object.keys(withoutOwnNamespace(base)).toSorted());
    for (const [key, object] of Object.entries(made)) {
      if (key === 'ConfigMap tiergate/tiergate-config') continue;
      expect(object, key).toEqual(base[key]);
    }
  });

  it('passes lint, with warnings counted as faults', async () => {
    expect(await helm(['lint', '--strict', chart])).toContain('1 chart(s) linted, 0 chart(s) failed');
  });

  it('rolls the pods when the process file changes, and only then', async () => {
    const checksum = async (values: object): Promise<unknown> => {
      const { template } = deploymentOf(await helmTemplate(values), 'tiergate-authorizer').spec;
      return template.metadata.annotations?.['checksum/config'];
    };
    const now = await checksum({});
    expect(await checksum({ issuer: { replicas: 5 } })).toBe(now);
    expect(await checksum({ config: { log: { level: 'debug' } } })).not.toBe(now);
  });

  const refused: Readonly<Record<string, { readonly values: object; readonly says: string }>> = {
    'a key that it does not know': { values: { authoriser: {} }, says: 'authoriser' },
    'a key that it does not know, further down': {
      values: { authorizer: { autoscaling: { minReplica: 2 } } },
      says: 'minReplica',
    },
    'a number as a text': { values: { issuer: { replicas: '2' } }, says: '/issuer/replicas' },
    'no replicas': { values: { issuer: { replicas: 0 } }, says: '/issuer/replicas' },
    'an instance whose tiers could be those of another': {
      values: { instance: 'a-tier-b' },
      says: '/instance',
    },
    'an instance that is too long': { values: { instance: 'a'.repeat(57) }, says: '/instance' },
    'a tier that is no label': { values: { tiers: ['Free'] }, says: '/tiers/0' },
    'a password in the address of Redis': {
      values: { redis: { url: 'redis://user:word@redis:6379' } },
      says: '/redis/url',
    },
    'a name in place of an address': {
      values: { gateway: { trust: ['gateway'] } },
      says: '/gateway/trust/0',
    },
    'a registrar without its section': { values: { registrar: { enabled: true } }, says: '/registrar' },
    'rights to make namespaces without the policy that bounds them': {
      values: { issuer: { createNamespaces: true }, admissionPolicy: { enabled: false } },
      says: 'issuer.createNamespaces needs admissionPolicy.enabled',
    },
    'fewer replicas at most than at least': {
      values: { authorizer: { autoscaling: { minReplicas: 7 } } },
      says: 'minReplicas is more than maxReplicas',
    },
    'a tier whose namespace would be too long': {
      values: { instance: 'a'.repeat(50), tiers: ['enterprise'] },
      says: 'longer than 63 characters',
    },
  };

  it.each(Object.entries(refused))('refuses %s', async (_what, { values, says }) => {
    await expect(
      withValues(values, (args) => helm(['template', 'tiergate', chart, ...args])),
    ).rejects.toThrow(says);
  });
});
