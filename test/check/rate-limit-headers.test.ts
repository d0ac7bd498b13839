import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WindowState } from '../../src/check/limit.ts';
import { bindingWindow, rateLimitHeaders, windowName } from '../../src/check/rate-limit-headers.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';

function limitOf(parts: Partial<WindowLimit> = {}): WindowLimit {
  return { scope: '*', unit: 'requests', windowMs: 120_000, limit: 20, mode: 'enforce', ...parts };
}

function stateOf(remaining: number, resetAfterMs: number, parts: Partial<WindowLimit> = {}): WindowState {
  return { window: limitOf(parts), remaining, resetAfterMs, exceeded: false };
}

const headersOf = (windows: readonly WindowState[]) => Object.fromEntries(rateLimitHeaders(windows));

describe('rate limit headers', () => {
  it('tell one window in both ways', () => {
    expect(headersOf([stateOf(19, 118_500)])).toEqual({
      'ratelimit-policy': '"requests-2m";q=20;w=120',
      ratelimit: '"requests-2m";r=19;t=119',
      'x-ratelimit-limit-requests': '20',
      'x-ratelimit-remaining-requests': '19',
      'x-ratelimit-reset-requests': '1m59s',
    });
  });

  it('tell every window by its name, and the binding one of each kind', () => {
    const windows = [
      stateOf(10, 60_000),
      stateOf(400, 80_000_000, { limit: 1000, windowMs: 86_400_000 }),
      stateOf(50_000, 0, { unit: 'tokens', limit: 50_000, windowMs: 60_000 }),
      stateOf(1, 3_599_001, { unit: 'outputTokens', limit: 100, windowMs: 3_600_000 }),
    ];
    expect(headersOf(windows)).toEqual({
      'ratelimit-policy':
        '"requests-2m";q=20;w=120, "requests-1d";q=1000;w=86400, "tokens-1m";q=50000;w=60, "output-tokens-1h";q=100;w=3600',
      ratelimit:
        '"requests-2m";r=10;t=60, "requests-1d";r=400;t=80000, "tokens-1m";r=50000;t=0, "output-tokens-1h";r=1;t=3600',
      'x-ratelimit-limit-requests': '1000',
      'x-ratelimit-remaining-requests': '400',
      'x-ratelimit-reset-requests': '22h13m20s',
      'x-ratelimit-limit-tokens': '100',
      'x-ratelimit-remaining-tokens': '1',
      'x-ratelimit-reset-tokens': '1h0m0s',
    });
  });

  it('say nothing of shadow windows, and nothing at all where there is no other', () => {
    const shadow = stateOf(0, 1000, { mode: 'shadow', limit: 3 });
    expect(rateLimitHeaders([shadow])).toEqual([]);
    expect(rateLimitHeaders([])).toEqual([]);
    expect(headersOf([shadow, stateOf(19, 1000)])['ratelimit-policy']).toBe('"requests-2m";q=20;w=120');
  });

  it('keep what is in a scope from breaking out of its string', () => {
    const { ratelimit } = headersOf([stateOf(1, 1000, { scope: 'llm/"big\\*"\r\nx: y' })]);
    expect(ratelimit).toBe('"requests-2m-llm/\\"big\\\\*\\"%0D%0Ax:%20y";r=1;t=1');
  });

  it('hold numbers that are whole and never negative, whatever the windows say', () => {
    const anyNumber = fc.oneof(fc.double(), fc.integer());
    const window = fc.record({
      remaining: anyNumber,
      resetAfterMs: anyNumber,
      exceeded: fc.boolean(),
      window: fc.record({
        scope: fc.constant('*'),
        unit: fc.constantFrom('requests', 'tokens', 'inputTokens', 'outputTokens'),
        windowMs: fc.integer({ min: 1, max: 1e12 }),
        limit: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        mode: fc.constantFrom('enforce', 'shadow'),
      }),
    });
    fc.assert(
      fc.property(fc.array(window as fc.Arbitrary<WindowState>), (windows) => {
        for (const [name, value] of rateLimitHeaders(windows)) {
          if (name === 'ratelimit') expect(value).toMatch(/^("[a-z0-9-]+";r=\d{1,15};t=\d{1,15}(, )?)+$/);
          else if (name === 'ratelimit-policy')
            expect(value).toMatch(/^("[a-z0-9-]+";q=\d{1,15};w=\d{1,15}(, )?)+$/);
          else if (name.includes('-reset-')) expect(value).toMatch(/^(\d+h)?(\d+m)?\d+s$/);
          else expect(value).toMatch(/^\d{1,15}$/);
        }
      }),
    );
  });
});

describe('the binding window', () => {
  it('is the one with the least left as a share of its limit', () => {
    const wide = stateOf(40, 1000, { limit: 1000 });
    const narrow = stateOf(1, 1000, { limit: 5 });
    expect(bindingWindow([narrow, wide])).toBe(wide);
    expect(bindingWindow([wide, narrow])).toBe(wide);
  });

  it('is the one that takes longest to be whole again where shares are equal', () => {
    const soon = stateOf(0, 1000);
    const late = stateOf(0, 2000, { limit: 1000 });
    expect(bindingWindow([soon, late])).toBe(late);
    expect(bindingWindow([late, soon])).toBe(late);
    expect(bindingWindow([])).toBeUndefined();
  });
});

describe('the name of a window', () => {
  it.each([
    [{ windowMs: 120_000 }, 'requests-2m'],
    [{ windowMs: 90_000 }, 'requests-90s'],
    [{ windowMs: 86_400_000 }, 'requests-1d'],
    [{ windowMs: 5_400_000 }, 'requests-90m'],
    [{ windowMs: 1500 }, 'requests-1500ms'],
    [{ unit: 'inputTokens', windowMs: 60_000 }, 'input-tokens-1m'],
    [{ unit: 'tokens', windowMs: 60_000, scope: 'llm/big-*' }, 'tokens-1m-llm/big-*'],
  ] as const)('of %j is %s', (parts, name) => {
    expect(windowName(limitOf(parts))).toBe(name);
  });
});
