import { describe, expect, it } from 'vitest';
import { createRecent } from '../../src/check/recent.ts';

describe('what is lately made', () => {
  it('keeps at least as many as it is told, and forgets what nobody asked for since', () => {
    const recent = createRecent<number>(3);
    for (let index = 0; index < 7; index += 1) recent.set(String(index), index);
    expect(['0', '1', '2'].map(recent.get)).toEqual([undefined, undefined, undefined]);
    expect(['4', '5', '6'].map(recent.get)).toEqual([4, 5, 6]);
  });

  it('keeps what is asked for, however much else comes', () => {
    const recent = createRecent<number>(3);
    recent.set('busy', 1);
    for (let index = 0; index < 100; index += 1) {
      recent.set(String(index), index);
      expect(recent.get('busy')).toBe(1);
    }
  });
});
