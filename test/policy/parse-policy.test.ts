import { describe, expect, it } from 'vitest';
import type { PolicyOptions } from '../../src/policy/create-policy.ts';
import { type ParsedPolicy, parsePolicyConfigMap, parsePolicyFile } from '../../src/policy/parse-policy.ts';
import type { Policy } from '../../src/policy/policy.ts';

const options: PolicyOptions = {
  instance: 'maas-default-gateway',
  defaultLimits: { requests: [{ limit: 5, window: 120_000 }] },
  defaultTier: undefined,
};

/** As an installation of the MaaS stack ships it. */
const existing = `
# Free tier: everybody's
- name: free
  displayName: Free Tier
  level: 0
  groups:
    - tier-free-users
    - system:authenticated
- name: premium
  displayName: Premium Tier
  level: 1
  groups:
    - tier-premium-users
    - premium-group
`;

function valid(parsed: ParsedPolicy): Policy {
  if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
  return parsed.policy;
}

function mistakes(text: string, more: Partial<PolicyOptions> = {}): readonly string[] {
  const parsed = parsePolicyFile(text, { ...options, ...more });
  return parsed.valid
    ? []
    : parsed.mistakes.map(({ path, line, message }) => `${line ?? '-'} ${path}: ${message}`);
}

describe('a policy document', () => {
  it('loads as an existing installation has it, with default limits and a warning that names the tiers', () => {
    const policy = valid(parsePolicyConfigMap({ tiers: existing }, options));
    expect(policy.tiers.map(({ name, level, displayName }) => ({ name, level, displayName }))).toEqual([
      { name: 'free', level: 0, displayName: 'Free Tier' },
      { name: 'premium', level: 1, displayName: 'Premium Tier' },
    ]);
    expect(policy.tiers[0]?.windows).toEqual([
      { scope: '*', unit: 'requests', windowMs: 120_000, limit: 5, mode: 'enforce' },
    ]);
    expect(policy.warnings).toEqual([
      'Tier free has no limits: it gets the default limits.',
      'Tier premium has no limits: it gets the default limits.',
    ]);
  });

  it('gives each tier the implicit group of the tokens issued in it', () => {
    const policy = valid(parsePolicyFile(existing, options));
    const group = 'system:serviceaccounts:maas-default-gateway-tier-premium';
    expect(policy.tierByGroup.get(group)?.name).toBe('premium');
  });

  it('reads limits, lifetime and shadow of a tier and of one limit', () => {
    const policy = valid(
      parsePolicyFile(
        `
- name: gold
  level: 3
  groups: [gold]
  maxTokenLifetime: 24h
  limits: {requests: [{limit: 20, window: 2m}, {limit: 1000, window: 1d, mode: shadow}]}
- name: trial
  groups: [trial]
  mode: shadow
  limits: {requests: [{limit: 1, window: 1m30s}]}
- name: staff
  level: 9
  groups: [staff]
  limits: unlimited
`,
        options,
      ),
    );
    const [gold, trial, staff] = policy.tiers;
    expect(gold?.maxTokenLifetimeMs).toBe(86_400_000);
    expect(gold?.windows.map(({ limit, windowMs, mode }) => [limit, windowMs, mode])).toEqual([
      [20, 120_000, 'enforce'],
      [1000, 86_400_000, 'shadow'],
    ]);
    expect(trial?.windows.map(({ mode, windowMs }) => [mode, windowMs])).toEqual([['shadow', 90_000]]);
    expect(staff?.windows).toEqual([]);
    expect([staff?.rank, gold?.rank, trial?.rank]).toEqual([0, 1, 2]);
  });

  it('lets the first of equal levels win, and warns', () => {
    const policy = valid(
      parsePolicyFile('[{name: a, level: 1, groups: [g]}, {name: b, level: 1, groups: [g]}]', options),
    );
    expect(policy.tierByGroup.get('g')?.name).toBe('a');
    expect(policy.warnings).toContain('Tiers a and b share level 1: a wins.');
  });

  it('warns of a limit that can never bind and of a tier without groups', () => {
    const policy = valid(
      parsePolicyFile(
        '[{name: a, limits: {requests: [{limit: 50, window: 1m}, {limit: 20, window: 1h}]}}]',
        options,
      ),
    );
    expect(policy.warnings).toEqual([
      'Tier a has no groups: only its own tokens belong to it.',
      'Tier a: 50 requests in 1m can never bind, since 20 requests in 1h is reached first.',
    ]);
  });

  it('names every mistake at once, with its line', () => {
    expect(
      mistakes(`
- name: Free_Tier
  groups: [a]
  limits: {requests: [{limit: 0, window: 30}, {limit: 5, window: 2y}]}
- level: high
  colour: red
  displayName: " "
`),
    ).toEqual([
      '2 tiers[0].name: must be lower-case letters, digits and inner dashes (a DNS-1123 label)',
      '4 tiers[0].limits.requests[0].limit: must be at least 1',
      '4 tiers[0].limits.requests[0].window: must be text with a unit, for example 2m',
      '4 tiers[0].limits.requests[1].window: "2y" is not a duration (units: ms, s, m, h, d; for example 30s, 1.5h, 1h30m)',
      '5 tiers[1].name: is needed, as text',
      '7 tiers[1].displayName: must not be blank',
      '5 tiers[1].level: must be a whole number',
      '6 tiers[1].colour: is not a known key',
    ]);
  });

  it.each([
    ['[{name: a}, {name: a}]', 'tiers[1].name: a is the name of another tier'],
    ['[{name: a-tier-b}]', 'tiers[0].name: a-tier-b must not contain -tier-'],
    [`[{name: ${'a'.repeat(50)}}]`, 'would be longer than 63 characters'],
    ['[{name: a, limits: {}}]', 'write limits: unlimited if that is meant'],
    ['[{name: a, limits: none}]', 'must be the word unlimited, or windows under requests'],
    ['[{name: a, limits: {requests: [{limit: 1, window: 1m}, {limit: 2, window: 60s}]}}]', '1m stands twice'],
    ['[{name: a, limits: {requests: [{limit: 1, window: 10ms}]}}]', 'a window lasts from 1s to 366d'],
    ['[{name: a, maxTokenLifetime: 5m}]', 'a token lives from 10m to 366d'],
    ['[]', 'must hold at least one tier'],
    ['', 'must be a list of tiers'],
    ['tiers: [{name: a}]\nlimits: 5', 'limits: is not a known key'],
    ['- name: a\n  name: b', 'Map keys must be unique'],
    ['- [unclosed', 'must be sufficiently indented'],
  ])('refuses %s', (text, words) => {
    expect(mistakes(text).join('\n')).toContain(words);
  });

  it.each(['tokens', 'inputTokens', 'outputTokens'] as const)(
    'takes windows of %s wherever it stands',
    (unit) => {
      const budget = `${unit}: [{limit: 5000, window: 1m, mode: shadow}]`;
      const { tiers, capacity } = valid(
        parsePolicyFile(
          `{tiers: [{name: a, limits: {${budget}, models: {"a/b": {${budget}}}, shared: {by: "group:x", ${budget}}}}], capacity: {"a/b": {${budget}}}}`,
          options,
        ),
      );
      const window = { unit, limit: 5000, windowMs: 60_000, mode: 'shadow' };
      expect(tiers[0]?.windows).toEqual([{ ...window, scope: '*' }]);
      expect(tiers[0]?.models[0]?.windows).toEqual([{ ...window, scope: 'a/b' }]);
      expect(tiers[0]?.shared?.windows).toEqual([{ ...window, scope: 'team' }]);
      expect(capacity[0]?.windows).toEqual([{ ...window, scope: 'capacity' }]);
      const short = mistakes(`[{name: a, level: high, limits: {${unit}: [{limit: 5000, window: 9s}]}}]`);
      expect(short).toEqual([
        '1 tiers[0].level: must be a whole number',
        `1 tiers[0].limits.${unit}[0].window: 9s is out of bounds: a window of tokens lasts from 10s to 366d`,
      ]);
    },
  );

  it('says what a request is charged in tokens that does not say it itself', () => {
    const tierOf = (text: string) => valid(parsePolicyFile(text, options)).tiers[0];
    expect(tierOf('[{name: a}]')).toMatchObject({
      reserve: { promptTokens: 1000, maxTokens: 1000 },
      streamWithoutUsage: 'estimate',
    });
    expect(tierOf('[{name: a, reserve: {maxTokens: 50}, streamWithoutUsage: deny}]')).toMatchObject({
      reserve: { promptTokens: 1000, maxTokens: 50 },
      streamWithoutUsage: 'deny',
    });
    expect(mistakes('[{name: a, reserve: {maxTokens: -1}}]').join()).toContain('must be at least 0');
    expect(mistakes('[{name: a, streamWithoutUsage: maybe}]').join()).toContain('streamWithoutUsage');
  });

  it('takes a number of requests that may be open at once, for a tier', () => {
    const tierOf = (text: string) => valid(parsePolicyFile(text, options)).tiers[0];
    const limits = 'limits: {requests: unlimited, concurrency: 8}';
    expect(tierOf(`[{name: a, ${limits}}]`)?.concurrency).toEqual({ limit: 8, mode: 'enforce' });
    expect(tierOf(`[{name: a, mode: shadow, ${limits}}]`)?.concurrency).toEqual({ limit: 8, mode: 'shadow' });
    expect(tierOf('[{name: a, limits: unlimited}]')?.concurrency).toBeUndefined();
    expect(mistakes('[{name: a, limits: {concurrency: 8}}]').join()).toContain('write requests: unlimited');
    for (const number of ['0', '-1', '1.5', '"8"', '100001']) {
      const [mistake] = mistakes(`[{name: a, limits: {requests: unlimited, concurrency: ${number}}}]`);
      expect(mistake).toContain('tiers[0].limits.concurrency: must be');
    }
  });

  it('refuses it in words for a model, a team and a capacity, where it is not built', () => {
    const requests = 'requests: [{limit: 1, window: 1m}]';
    const both = `{${requests}, concurrency: 8}`;
    expect(mistakes(`[{name: a, limits: {${requests}, models: {"a/b": ${both}}}}]`)).toEqual([
      '1 tiers[0].limits.models.a/b.concurrency: is not built yet',
    ]);
    expect(
      mistakes(`[{name: a, limits: {${requests}, shared: {by: "group:x", ${requests}, concurrency: 8}}}]`),
    ).toEqual(['1 tiers[0].limits.shared.concurrency: is not built yet']);
    expect(mistakes(`{tiers: [{name: a}], capacity: {"a/b": ${both}}}`)).toEqual([
      '1 capacity.a/b.concurrency: is not built yet',
    ]);
  });

  it.each(['local', 'deny', 'allow'] as const)('takes %s for the time that the counters are away', (word) => {
    const tierOf = (text: string) => valid(parsePolicyFile(text, options)).tiers[0];
    expect(tierOf(`[{name: a, onStoreUnavailable: ${word}}]`)?.onStoreUnavailable).toBe(word);
    expect(tierOf('[{name: a}]')?.onStoreUnavailable).toBeUndefined();
  });

  it('names mistakes of names beside those of the schema', () => {
    const found = mistakes('[{name: a, level: high}, {name: a}, {name: a-tier-b}]').join();
    for (const words of [
      'must be a whole number',
      'a is the name of another tier',
      'must not contain -tier-',
    ]) {
      expect(found).toContain(words);
    }
  });

  it('refuses an alias without an anchor as a mistake, not as a crash', () => {
    expect(mistakes('[{name: a, groups: [*-users]}]').join()).toContain('a text with * needs quotes');
    const parsed = parsePolicyConfigMap({ tiers: '[{name: a}]', capacity: '{"llm/x": *limits}' }, options);
    expect(parsed).toMatchObject({ valid: false, mistakes: [{ path: 'capacity' }] });
  });

  it('refuses an instance name that could share a namespace with another', () => {
    expect(mistakes('[{name: a}]', { instance: 'x-tier' })).toEqual([
      '- instance: x-tier must neither contain -tier- nor end in -tier',
    ]);
  });

  it('refuses a default tier that is not there, and a ConfigMap without tiers', () => {
    expect(mistakes('[{name: a}]', { defaultTier: 'b' })).toEqual([
      '1 tiers: the default tier b is not among the tiers',
    ]);
    expect(parsePolicyConfigMap({}, options)).toMatchObject({ valid: false });
  });
});
