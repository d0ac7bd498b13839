import { describe, expect, it } from 'vitest';
import { createSpentIds } from '../../src/check/spent-ids.ts';

const [one, other] = [{ name: 'one' }, { name: 'other' }];

/** Of which no two are the same: numbers in a row, as a counter gives them, and far apart, as Envoy draws them. */
const inARow = (index: number) => String(1_000_000_000 + index).padStart(20, '0');
const farApart = (index: number) => String(BigInt.asUintN(64, BigInt(index) * 0x9e3779b97f4a7c15n));

describe('ids of spent requests', () => {
  it.each([
    { kind: 'in a row', idOf: inARow },
    { kind: 'far apart', idOf: farApart },
  ])('finds each of many by what it was let pass from, and no other ($kind)', ({ idOf }) => {
    const ids = createSpentIds<object>(5_000);
    for (let index = 0; index < 5_000; index += 1) ids.add(idOf(index), index % 3 === 0 ? one : other);
    expect(ids.size()).toBe(5_000);
    for (let index = 0; index < 10_000; index += 1) {
      const added = index < 5_000;
      const expected = index % 3 === 0 ? one : other;
      expect(ids.find(idOf(index))).toBe(added ? expected : undefined);
    }
  });

  it('keeps the last word on an id, and counts it once', () => {
    const ids = createSpentIds<object>(10);
    ids.add('17', one);
    ids.add('17', other);
    expect(ids.find('17')).toBe(other);
    expect(ids.size()).toBe(1);
  });

  it('remembers no more than it has room for, and all again once it was cleared', () => {
    const ids = createSpentIds<object>(2);
    for (const id of ['1', '2', '3']) ids.add(id, one);
    expect(['1', '2', '3'].map((id) => ids.find(id))).toEqual([one, one, undefined]);
    ids.clear();
    expect([ids.size(), ids.find('1')]).toEqual([0, undefined]);
    ids.add('3', other);
    expect(ids.find('3')).toBe(other);
  });
});
