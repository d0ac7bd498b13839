import { describe, expect, it } from 'vitest';
import type { Policy } from '../../src/policy/policy.ts';
import { loadDecisions, parseLoad, strangeTier } from '../../src/check/load.ts';

describe('a described load', () => {
  it('is so many requests of so many users, in the order of time, the same each time', () => {
    const loads = [
      parseLoad('tier=free users=20 rate=3/1m for=1h model=llm/llama'),
      parseLoad('tier=premium rate=60/1h for=30m'),
    ];
    const decisions = [...loadDecisions(loads, 1000, 1)];
    expect(decisions).toEqual([...loadDecisions(loads, 1000, 1)]);
    const free = decisions.filter(({ tier }) => tier === 'free');
    expect(free.length).toBeGreaterThan(3300);
    expect(free.length).toBeLessThan(3900);
    expect(new Set(free.map(({ subject }) => subject)).size).toBe(20);
    expect(decisions.length - free.length).toBeGreaterThan(10);
    const times = decisions.map(({ atMs }) => atMs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times.at(-1)).toBeLessThanOrEqual(3_601_000);
  });

  it.each([
    ['users=3 rate=1/1m', 'tier is missing'],
    ['tier=free', 'rate is missing'],
    ['tier=free rate=1', 'rate must be'],
    ['tier=free rate=0/1m', 'rate must be'],
    ['tier=free rate=1/60', 'has no unit'],
    ['tier=free rate=1/1m users=0.5', 'users must be'],
    ['tier=free rate=1/1m color=red', 'color is not known'],
  ])('is refused in words: %s', (text, words) => {
    expect(() => parseLoad(text)).toThrow(words);
  });

  it('is of a tier of the document, or said not to be', () => {
    const tiers = ['free', 'premium'].map((name) => ({ name })) as unknown as Policy['tiers'];
    const loads = [parseLoad('tier=free rate=1/1m'), parseLoad('tier=gold rate=1/1m')];
    expect(strangeTier(loads.slice(0, 1), { tiers })).toBeUndefined();
    expect(strangeTier(loads, { tiers })).toBe('gold is no tier of the document, which has free, premium');
  });
});
