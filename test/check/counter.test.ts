import { describe, expect, it } from 'vitest';
import { countersOf, decisionFrom } from '../../src/check/counter.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';

const minute: WindowLimit = { scope: '*', unit: 'requests', windowMs: 60_000, limit: 20, mode: 'enforce' };
const shadow: WindowLimit = { ...minute, limit: 5, mode: 'shadow' };

describe('the counters of a claim', () => {
  it('are named by scope, unit and length, never by a limit', () => {
    const { counters } = countersOf([
      { window: minute, cost: 1 },
      { window: { ...minute, scope: 'llm/big-*', unit: 'tokens', windowMs: 3_600_000 }, cost: 500 },
    ]);
    expect(counters).toEqual([
      {
        name: '*:requests:60000',
        unit: 'requests',
        windowMs: 60_000,
        lengthUs: 60_000_000,
        units: 1,
        limit: 20,
        isShadow: false,
      },
      {
        name: 'llm/big-*:tokens:3600000',
        unit: 'tokens',
        windowMs: 3_600_000,
        lengthUs: 3_600_000_000,
        units: 500,
        limit: 20,
        isShadow: false,
      },
    ]);
  });

  it('are shared by limits over the same scope, unit and length; the least enforced limit decides', () => {
    const strict = { ...minute, limit: 7 };
    const { counters, counterOfCharge } = countersOf([
      { window: shadow, cost: 1 },
      { window: minute, cost: 2 },
      { window: strict, cost: 1 },
    ]);
    expect(counters).toEqual([expect.objectContaining({ name: '*:requests:60000', units: 2, limit: 7 })]);
    expect(counterOfCharge).toEqual([0, 0, 0]);
  });

  it('are counted as if in force, and marked, where all limits are shadow', () => {
    const { counters } = countersOf([{ window: shadow, cost: 1 }]);
    expect(counters).toEqual([expect.objectContaining({ limit: 5, isShadow: true })]);
  });

  it('are worked out once for the same charges', () => {
    const charges = [{ window: minute, cost: 1 }];
    expect(countersOf(charges)).toBe(countersOf(charges));
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY])('refuse a cost of %s as a bug', (cost) => {
    expect(() => countersOf([{ window: minute, cost }])).toThrow(RangeError);
  });

  it.each([0, 1.5, -60_000])('refuse a window of %s ms as a bug', (windowMs) => {
    expect(() => countersOf([{ window: { ...minute, windowMs }, cost: 1 }])).toThrow(RangeError);
  });
});

describe('a decision', () => {
  const claim = countersOf([
    { window: minute, cost: 1 },
    { window: shadow, cost: 1 },
  ]);
  const decide = (admitted: boolean, total: number) =>
    decisionFrom(claim, {
      admitted,
      leftOut: false,
      readings: [{ total, resetAfterUs: 1_500_001 }],
      retryAfterUs: admitted ? undefined : 100,
    });

  it('reads one counter against each of its limits', () => {
    expect(decide(true, 3).windows).toEqual([
      { window: minute, remaining: 17, resetAfterMs: 1501, exceeded: false },
      { window: shadow, remaining: 2, resetAfterMs: 1501, exceeded: false },
    ]);
  });

  it('shows a shadow limit that would have denied, without denying', () => {
    expect(decide(true, 5).windows[1]?.exceeded).toBe(false);
    expect(decide(true, 6)).toMatchObject({
      admitted: true,
      windows: [{ exceeded: false }, { exceeded: true, remaining: 0 }],
    });
  });

  it('shows which limit had no room, and rounds times up', () => {
    expect(decide(false, 20)).toMatchObject({
      admitted: false,
      retryAfterMs: 1,
      windows: [{ exceeded: true, remaining: 0 }, { exceeded: true }],
    });
  });

  it('never shows less than nothing remaining, also when a limit was lowered below what is used', () => {
    expect(decide(true, 27).windows.map(({ remaining }) => remaining)).toEqual([0, 0]);
    expect(decide(true, 27).windows[0]?.exceeded).toBe(false);
  });
});
