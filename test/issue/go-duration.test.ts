import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { formatGoDuration, readGoDuration } from '../../src/issue/go-duration.ts';

describe('a Go duration', () => {
  it.each([
    ['30s', 30_000],
    ['15m', 900_000],
    ['2h45m', 9_900_000],
    ['1.5h', 5_400_000],
    ['1h30m45s', 5_445_000],
    ['.5h', 1_800_000],
    ['1.h', 3_600_000],
    ['+1m', 60_000],
    ['-1m', -60_000],
    ['0', 0],
    ['-0', 0],
    ['1500ms', 1_500],
    ['1us', 0.001],
    ['1µs', 0.001],
    ['1ns', 0.000_001],
  ])('%s is %d ms', (text, durationMs) => {
    expect(readGoDuration(text)).toEqual({ durationMs });
  });

  it.each([
    ['', /empty/],
    ['-', /empty/],
    ['30', /without a unit/],
    ['1h30', /without a unit/],
    ['30x', /unknown unit "x"/],
    ['1d', /unknown unit "d"/],
    ['1h 30m', /unknown unit "h "/],
    ['h', /not a duration/],
    ['.', /not a duration/],
    ['.s', /not a duration/],
    ['--1h', /not a duration/],
    ['1e3s', /unknown unit "e"/],
    ['1h\n', /unknown unit/],
    ['1'.repeat(65), /too long/],
    ['99999999999h', /longer than any/],
  ])('%j is none, and it is said why', (text, words) => {
    const read = readGoDuration(text);
    expect('mistake' in read && read.mistake).toMatch(words);
  });

  it('never throws, and takes time that grows with the text alone', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 70 }), (text) => {
        const read = readGoDuration(text);
        return 'mistake' in read || Number.isFinite(read.durationMs);
      }),
    );
  });

  it.each([
    [14_400_000, '4h0m0s'],
    [600_000, '10m0s'],
    [5_400_000, '1h30m0s'],
    [90_500, '1m30.5s'],
    [1_000, '1s'],
  ])('%d ms is written as Go writes it: %s', (durationMs, text) => {
    expect(formatGoDuration(durationMs)).toBe(text);
  });

  it('reads what it writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (durationMs) => {
        const read = readGoDuration(formatGoDuration(durationMs));
        expect('durationMs' in read && Math.round(read.durationMs)).toBe(durationMs);
      }),
    );
  });
});
