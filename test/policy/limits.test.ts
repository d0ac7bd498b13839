import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ParsedPolicy, parsePolicyConfigMap, parsePolicyFile } from '../../src/policy/parse-policy.ts';
import { matchesGlob, parseModelPattern, parseTeamPattern } from '../../src/policy/pattern.ts';
import type { Policy, Tier } from '../../src/policy/policy.ts';
import { modelCapacityOf, modelLimitsOf, sharedGroups, teamOf } from '../../src/policy/resolve.ts';

const options = {
  instance: 'maas-default-gateway',
  defaultLimits: { requests: [{ limit: 5, window: 120_000 }] },
  defaultTier: undefined,
};

function valid(parsed: ParsedPolicy): Policy {
  if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
  return parsed.policy;
}

const policyOf = (text: string) => valid(parsePolicyFile(text, options));

function tierOf(limits: string): Tier {
  const [tier] = policyOf(`- name: gold\n  groups: [gold]\n  limits: ${limits}`).tiers;
  return tier ?? expect.fail('no tier');
}

function mistakes(parsed: ParsedPolicy): readonly string[] {
  return parsed.valid
    ? []
    : parsed.mistakes.map(({ path, line, message }) => `${line ?? '-'} ${path}: ${message}`);
}

const mistakesOf = (text: string) => mistakes(parsePolicyFile(text, options));
const one = '[{limit: 1, window: 1m}]';

describe('a pattern with stars', () => {
  it.each([
    ['a*', 'a', true],
    ['a*', 'ab', true],
    ['*a', 'ba', true],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['*', '', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['a**c', 'abc', true],
    ['a.c', 'abc', false],
    ['abc', 'abcd', false],
  ])('%s and %s: %s', (glob, text, matches) => {
    expect(matchesGlob(glob, text)).toBe(matches);
  });

  it('takes no more time than its text is long, however many stars', () => {
    const beganAtMs = performance.now();
    expect(matchesGlob(`${'*a'.repeat(100)}b`, 'a'.repeat(10_000))).toBe(false);
    expect(performance.now() - beganAtMs).toBeLessThan(200);
  });
});

describe('a pattern of models', () => {
  it.each([
    ['llm/llama', 'llm/llama', true],
    ['llm/llama', 'llm/llama2', false],
    ['llm/*', 'llm/llama', true],
    ['llm/*', 'llm-2/llama', false],
    ['*/llama', 'llm/llama', true],
    ['*/*', 'llm/llama', true],
    ['llm*', 'llm/llama', undefined],
    ['llm/llama-3.1*', 'llm/llama-3.1-70b', true],
    ['*', 'llm/llama', undefined],
    ['llm/', 'llm/llama', undefined],
    ['/llama', 'llm/llama', undefined],
    ['LLM/llama', 'llm/llama', undefined],
    ['llm/lla?a', 'llm/llama', undefined],
    ['llm/[a-z]', 'llm/llama', undefined],
    ['llm/v1/x', 'llm/llama', undefined],
    ['llm.a/x', 'llm/llama', undefined],
  ])('%s and %s: %s', (pattern, model, matches) => {
    expect(parseModelPattern(pattern)?.matches(model)).toBe(matches);
  });
});

describe('a pattern of teams', () => {
  it.each([
    ['group:team-*', 'team-a', true],
    ['group:team-*', 'my-team-a', false],
    ['group:*:devs', 'acme:devs', true],
    ['team-*', 'team-a', undefined],
    ['group:', '', undefined],
    ['group:*', 'team-a', undefined],
  ])('%s and %s: %s', (pattern, group, matches) => {
    expect(parseTeamPattern(pattern)?.matches(group)).toBe(matches);
  });
});

describe('limits of a model', () => {
  const tier = tierOf(
    `
    requests: [{limit: 20, window: 2m}]
    models:
      "llm/*": {requests: [{limit: 10, window: 2m}]}
      "llm/big-*": {requests: [{limit: 5, window: 1m}], weight: 4}
      "llm/big-one": {weight: 2}
      "llm/big-free": unlimited
      "*/big-x*": {requests: [{limit: 1, window: 1m}]}
  `.replaceAll('\n', '\n  '),
  );

  it.each([
    ['llm/llama', 'llm/*', 1],
    ['llm/big-two', 'llm/big-*', 4],
    ['llm/big-one', 'llm/big-one', 2],
    ['llm/big-free', 'llm/big-free', 1],
    ['llm/big-xl', 'llm/big-*', 4],
    ['other/big-xl', '*/big-x*', 1],
    ['other/llama', undefined, undefined],
  ])('%s has those of %s', (model, pattern, weight) => {
    const limits = modelLimitsOf(tier, model);
    expect([limits?.pattern.text, limits?.weight]).toEqual([pattern, weight]);
  });

  it('count under the pattern as their scope', () => {
    expect(modelLimitsOf(tier, 'llm/big-two')?.windows).toEqual([
      { scope: 'llm/big-*', unit: 'requests', windowMs: 60_000, limit: 5, mode: 'enforce' },
    ]);
  });

  it('are a shadow where the tier is', () => {
    const [shadow] = policyOf(
      `[{name: a, groups: [a], mode: shadow, limits: {requests: ${one}, models: {"a/b": {requests: ${one}}}, shared: {by: "group:t-*", requests: ${one}}}}]`,
    ).tiers;
    const windows = [...(shadow?.models[0]?.windows ?? []), ...(shadow?.shared?.windows ?? [])];
    expect(windows.map(({ mode }) => mode)).toEqual(['shadow', 'shadow']);
  });

  it.each([
    ['{"big-*": {weight: 2}}', 'models.big-*: big-* matches no model: it must be namespace/name'],
    ['{"llm/x": {}}', 'models.llm/x: holds neither a window nor a weight'],
    ['{"llm/x": {weight: 0}}', 'models.llm/x.weight: must be at least 1'],
    ['{"llm/x": {weight: 1.5}}', 'models.llm/x.weight: must be a whole number'],
    ['{"llm/x": {wieght: 2}}', 'models.llm/x.wieght: is not a known key'],
    ['{"llm/x": none}', 'models.llm/x: must be the word unlimited, or windows under requests'],
    [`{"llm/x": {requests: [{limit: 1, window: 1m}, {limit: 2, window: 60s}]}}`, '1m stands twice'],
    ['{"llm/x": {weight: 1}, "llm/x": {weight: 2}}', 'Map keys must be unique'],
  ])('refuses %s', (models, words) => {
    expect(mistakesOf(`[{name: a, limits: {requests: ${one}, models: ${models}}}]`).join('\n')).toContain(
      words,
    );
  });

  it.each([
    ['{"llm/x": {requests: [{limit: 9, window: 1m}]}}', '9 requests in 1m for llm/x can never bind'],
    [
      '{"llm/x": {weight: 6}}',
      'a request for llm/x weighs 6 and can never pass, since 5 requests in 2m is the limit',
    ],
  ])('warns of %s', (models, words) => {
    const { warnings } = policyOf(
      `[{name: a, groups: [a], limits: {requests: [{limit: 5, window: 2m}], models: ${models}}}]`,
    );
    expect(warnings.join('\n')).toContain(words);
  });

  it.each([
    [
      'tokens: [{limit: 1000, window: 1m}]',
      'a request that does not say max_tokens is charged 1001 at least',
    ],
    [
      'outputTokens: [{limit: 999, window: 1m}]',
      'is charged 1000 at least and can never pass, since 999 output',
    ],
    [
      'tokens: [{limit: 2000, window: 1m}], models: {"llm/x": {weight: 4}}',
      'a request for llm/x that does not say max_tokens is charged 4004 at least',
    ],
  ])('warns of a budget that no request fits that does not say what it needs: %s', (limits, words) => {
    const warningsOf = (more: string) =>
      policyOf(`[{name: a, groups: [a], limits: {${limits}}${more}}]`).warnings.join('\n');
    expect(warningsOf('')).toContain(words);
    expect(warningsOf(', reserve: {maxTokens: 100}')).toBe('');
    expect(warningsOf(', mode: shadow')).toBe('');
  });

  it('needs windows of its own where a tier has only limits of models, or the word', () => {
    expect(mistakesOf(`[{name: a, limits: {models: {"a/b": {requests: ${one}}}}}]`)).toEqual([
      '1 tiers[0].limits: hold no window: write requests: unlimited if that is meant',
    ]);
    expect(tierOf(`{requests: unlimited, models: {"a/b": {requests: ${one}}}}`)).toMatchObject({
      windows: [],
      models: [{ windows: [{ limit: 1 }] }],
    });
  });
});

describe('limits of a team', () => {
  const tier = tierOf(
    `{requests: ${one}, shared: {by: "group:team-*", requests: [{limit: 100, window: 1d}]}}`,
  );

  it('are those of the first group that the pattern names, in whatever order a caller holds them', () => {
    expect(teamOf(tier, ['x', 'team-b', 'team-a'])).toBe('team-a');
    expect(teamOf(tier, ['team-a', 'team-b'])).toBe('team-a');
    expect(teamOf(tier, ['x'])).toBeUndefined();
    expect(teamOf(tierOf(`{requests: ${one}}`), ['team-a'])).toBeUndefined();
    expect(tier.shared?.windows).toMatchObject([{ scope: 'team', limit: 100 }]);
  });

  it('tell which groups of a user have to be known', () => {
    const policy = policyOf(`
- {name: a, groups: [a], limits: {requests: ${one}, shared: {by: "group:team-*", requests: ${one}}}}
- {name: b, groups: [b], limits: {requests: ${one}, shared: {by: "group:*-dept", requests: ${one}}}}
`);
    expect(sharedGroups(policy, ['z-dept', 'team-a', 'other', 'team-a'])).toEqual(['team-a', 'z-dept']);
  });

  it.each([
    ['{by: "team-*", requests: [{limit: 1, window: 1m}]}', 'shared.by: team-* must be group: and a name'],
    ['{by: "group:*", requests: [{limit: 1, window: 1m}]}', 'shared.by: group:* must be group: and a name'],
    ['{by: "group:a"}', 'shared: holds no window'],
    ['{requests: [{limit: 1, window: 1m}]}', 'shared.by: is needed'],
    ['{by: "group:a", weight: 2}', 'shared.weight: is not a known key'],
  ])('refuse %s', (shared, words) => {
    expect(mistakesOf(`[{name: a, limits: {requests: ${one}, shared: ${shared}}}]`).join('\n')).toContain(
      words,
    );
  });
});

describe('the capacity of a model', () => {
  const tiers = '- {name: a, groups: [a]}\n';
  const capacity = `
"llm/*": {requests: [{limit: 100, window: 1m}]}
"llm/small": unlimited
`;

  it('is that of the narrowest pattern, from a file or from the second key of the ConfigMap', () => {
    const file = policyOf(`tiers: [{name: a, groups: [a]}]\ncapacity:${capacity.replaceAll('\n', '\n  ')}`);
    const configMap = valid(parsePolicyConfigMap({ tiers, capacity }, options));
    for (const policy of [file, configMap]) {
      expect(modelCapacityOf(policy, 'llm/big')?.windows).toEqual([
        { scope: 'capacity', unit: 'requests', windowMs: 60_000, limit: 100, mode: 'enforce' },
      ]);
      expect(modelCapacityOf(policy, 'llm/small')?.windows).toEqual([]);
      expect(modelCapacityOf(policy, 'other/big')).toBeUndefined();
    }
  });

  it('names the line in the text of its own key', () => {
    const parsed = (text: string) => mistakes(parsePolicyConfigMap({ tiers, capacity: text }, options));
    expect(
      parsed('"llm/a": {requests: [{limit: 1, window: 1m}]}\n"llm/b": {requests: [{limit: 0, window: 1m}]}'),
    ).toEqual(['2 capacity.llm/b.requests[0].limit: must be at least 1']);
    expect(parsed('a: [')[0]).toMatch(/^\d capacity: /);
    expect(parsed('llama: unlimited')).toEqual([expect.stringContaining('llama matches no model')]);
    expect(parsed('"llm/a": {}')).toEqual([expect.stringContaining('holds no window')]);
    expect(
      mistakes(parsePolicyConfigMap({ tiers: '- {name: A}', capacity: '"a": {}' }, options)),
    ).toHaveLength(1);
  });

  it('is refused where it stands twice', () => {
    const both = { tiers: 'tiers: [{name: a}]\ncapacity: {}', capacity: '{}' };
    expect(mistakes(parsePolicyConfigMap(both, options))).toEqual([
      '- capacity: stands both in the key capacity and in the key tiers of the ConfigMap',
    ]);
  });
});

describe('the reference of the policy document', () => {
  it('begins with an example that is valid', () => {
    const text = readFileSync(new URL('../../docs/policy.md', import.meta.url), 'utf8');
    const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(text) ?? [];
    const policy = policyOf(example);
    expect(policy.tiers.map(({ name }) => name)).toEqual(['premium']);
    expect(policy.warnings).toEqual([]);
  });
});
