import { describe, expect, test } from 'vitest';
import { formatDuration, parseDuration } from '../../src/duration.ts';

describe('durations', () => {
  test.each([
    ['0s', 0],
    ['150ms', 150],
    ['30s', 30_000],
    ['2m', 120_000],
    ['1.5h', 5_400_000],
    ['1h30m', 5_400_000],
    ['1d', 86_400_000],
    ['0.1s', 100],
    ['366d', 31_622_400_000],
  ])('%s is %i ms', (text, durationMs) => {
    expect(parseDuration(text)).toBe(durationMs);
    expect(parseDuration(formatDuration(durationMs))).toBe(durationMs);
  });

  test.each(['30', '1.5', '0'])('%s has no unit, and the words say so', (text) => {
    expect(() => parseDuration(text)).toThrow(`${text} has no unit; write ${text}s for seconds`);
  });

  test.each(['', ' 1s', '1 s', '1w', '1M', '-1s', '1s1', '1e3s', '.5s', '1..5s', 's', '1µs', 'Infinity s'])(
    '%j is no duration',
    (text) => {
      expect(() => parseDuration(text)).toThrow(RangeError);
      expect(() => parseDuration(text)).toThrow('is not a duration (units: ms, s, m, h, d');
    },
  );

  test('one that no number can hold exactly is refused', () => {
    expect(() => parseDuration('999999999999999d')).toThrow('is too long a duration');
  });
});
