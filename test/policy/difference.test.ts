import { describe, expect, it } from 'vitest';
import { isSame, policyDifference } from '../../src/policy/difference.ts';
import { parsePolicyManifest } from '../../src/policy/parse-policy.ts';
import type { Policy } from '../../src/policy/policy.ts';

const options = { instance: 'gw', defaultLimits: 'unlimited', defaultTier: undefined } as const;

function policyOf(text: string): Policy {
  const parsed = parsePolicyManifest(text, options);
  if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
  return parsed.policy;
}

const before = `
- name: free
  groups: [system:authenticated]
  limits: {requests: [{limit: 5, window: 2m}]}
- name: premium
  level: 1
  groups: [paying, friends]
  maxTokenLifetime: 24h
  limits: {requests: [{limit: 20, window: 2m}], concurrency: 8, models: {"llm/big": {weight: 4}}}
`;

describe('what differs between two policy documents', () => {
  it('is nothing where only the words do', () => {
    const same = before.replaceAll('name: free', 'displayName: Free\n  name: free');
    expect(isSame(policyDifference(policyOf(before), policyOf(same)))).toBe(true);
  });

  it('is who changes tier, by group and by user', () => {
    const after = policyOf(before.replace('friends', 'others').replace('level: 1', 'level: 2'));
    const users = new Map([
      ['alice', ['friends', 'paying']],
      ['bob', ['friends']],
      ['carol', []],
    ]);
    const { groups, users: changed, limits } = policyDifference(policyOf(before), after, users);
    expect(groups).toEqual([
      { name: 'friends', from: 'premium', to: 'free' },
      { name: 'others', from: 'free', to: 'premium' },
    ]);
    expect(changed).toEqual([{ name: 'bob', from: 'premium', to: 'free' }]);
    expect(limits).toEqual([{ of: 'tier premium', what: 'level', from: '1', to: '2' }]);
  });

  it('is what changes of token budgets', () => {
    const budgets = `
- name: free
  reserve: {maxTokens: 50}
  limits: {requests: [{limit: 5, window: 2m}], tokens: [{limit: 900, window: 1m}]}
`;
    const after = policyOf(
      budgets
        .replace('maxTokens: 50', 'maxTokens: 80')
        .replace('requests: [{limit: 5, window: 2m}], ', '')
        .replace('limit: 900', 'limit: 700')
        .replace('reserve:', 'streamWithoutUsage: deny\n  reserve:'),
    );
    const of = 'tier free';
    expect(policyDifference(policyOf(budgets), after).limits).toEqual([
      { of, what: 'requests', from: 'limited', to: 'unlimited' },
      { of, what: 'reserve.maxTokens', from: '50', to: '80' },
      { of, what: 'streamWithoutUsage', from: 'estimate', to: 'deny' },
      { of, what: 'requests in 2m', from: '5', to: undefined },
      { of, what: 'tokens in 1m', from: '900', to: '700' },
    ]);
  });

  it('is which limits change, and what can never bind from now on', () => {
    const after = policyOf(
      before
        .replace('limit: 5, window: 2m', 'limit: 9, window: 2m}, {limit: 9, window: 1m')
        .replace('limit: 20, window: 2m', 'limit: 20, window: 2m, mode: shadow')
        .replace('concurrency: 8, ', '')
        .replace('weight: 4', 'weight: 2')
        .replace('24h', '12h'),
    );
    const { limits, newWarnings, groups } = policyDifference(policyOf(before), after);
    expect(groups).toEqual([]);
    expect(limits).toEqual([
      { of: 'tier free', what: 'requests in 2m', from: '5', to: '9' },
      { of: 'tier free', what: 'requests in 1m', from: undefined, to: '9' },
      { of: 'tier premium', what: 'requests in 2m', from: '20', to: '20 (shadow)' },
      { of: 'tier premium', what: 'weight of llm/big', from: '4', to: '2' },
      { of: 'tier premium', what: 'open requests', from: '8', to: undefined },
      { of: 'tier premium', what: 'maxTokenLifetime', from: '1d', to: '12h' },
    ]);
    expect(newWarnings.join()).toContain('can never bind');
  });

  it('is which tiers come and go', () => {
    const { addedTiers, removedTiers, groups } = policyDifference(
      policyOf(before),
      policyOf(before.replace('name: premium', 'name: gold')),
    );
    expect({ addedTiers, removedTiers }).toEqual({ addedTiers: ['gold'], removedTiers: ['premium'] });
    expect(groups.map(({ to }) => to)).toEqual(['gold', 'gold']);
  });
});

describe('the manifest of a policy ConfigMap', () => {
  const manifest = (tiers: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: t}\ndata:\n  tiers: |${tiers.replaceAll('\n', '\n    ')}`;

  it('says the same as the document in it, with the lines of the manifest', () => {
    const policy = policyOf(manifest(before));
    expect(isSame(policyDifference(policyOf(before), policy))).toBe(true);
    expect(policy.lineOf?.(['tiers', 1])).toBe(9);
    const wrong = parsePolicyManifest(manifest(before.replace('level: 1', 'level: x')), options);
    expect(wrong).toMatchObject({ valid: false, mistakes: [{ path: 'tiers[1].level', line: 10 }] });
  });

  it('must have data of texts', () => {
    expect(parsePolicyManifest('{kind: ConfigMap, data: {tiers: [a]}}', options)).toMatchObject({
      valid: false,
      mistakes: [{ path: 'data' }],
    });
  });
});
