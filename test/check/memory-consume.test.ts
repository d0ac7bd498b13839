import { describe, expect, it } from 'vitest';
import type { Claim } from '../../src/check/limit.ts';
import { createMemoryConsume, type MemoryConsumeOptions } from '../../src/check/memory-consume.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import { createManualClock } from '../support/manual-clock.ts';

const windowMs = 60_000;
const window: WindowLimit = { scope: '*', unit: 'requests', windowMs, limit: 2, mode: 'enforce' };
const charges = [{ window, cost: 1 }];
const look = [{ window, cost: 0 }];

function setUp(options: Partial<MemoryConsumeOptions> = {}) {
  const clock = createManualClock();
  const consume = createMemoryConsume({ now: clock.now, ...options });
  const claim = (subject: string, more: Partial<Claim> = {}) =>
    consume({ subject, id: '', charges, deadlineAtMs: clock.now() + 100, ...more });
  return {
    clock,
    claim,
    used: (subject: string) => 2 - (claim(subject, { charges: look }).windows[0]?.remaining ?? 2),
  };
}

const overloaded = expect.objectContaining({ dependency: 'memory', code: 'overloaded' });

describe('counters in memory', () => {
  it('answer without a promise', () => {
    expect(setUp().claim('alice')).not.toBeInstanceOf(Promise);
  });

  it('turn a further subject away when all places hold live counters, and drop none of them', () => {
    const { claim, used } = setUp({ maxSubjects: 3 });
    for (const subject of ['a', 'b', 'c']) claim(subject);
    expect(() => claim('d')).toThrow(overloaded);
    expect(() => claim('d')).toThrow(overloaded);
    expect(['a', 'b', 'c'].map(used)).toEqual([1, 1, 1]);
    expect(claim('a').admitted).toBe(true);
    expect(claim('a').admitted).toBe(false);
  });

  it('need no place for a look, nor for a claim that is denied', () => {
    const { claim } = setUp({ maxSubjects: 1 });
    claim('a');
    expect(claim('b', { charges: look }).admitted).toBe(true);
    expect(claim('b', { charges: [{ window, cost: 3 }] }).admitted).toBe(false);
  });

  it('have room again as soon as a subject has nothing that counts', () => {
    const { clock, claim } = setUp({ maxSubjects: 2 });
    claim('a');
    clock.advance(windowMs / 2);
    claim('b');
    clock.advance(windowMs / 2);
    expect(claim('c').admitted).toBe(true);
    expect(() => claim('d')).toThrow(overloaded);
  });

  it('find the one place among many that has become free', () => {
    const { clock, claim } = setUp({ maxSubjects: 50 });
    claim('first');
    clock.advance(1000);
    for (let index = 1; index < 50; index += 1) claim(`s${index}`);
    expect(() => claim('late')).toThrow(overloaded);
    clock.advance(windowMs - 1000);
    expect(claim('late').admitted).toBe(true);
  });

  it('have room again within a window and a slot after the clock was set back by a year', () => {
    const { clock, claim } = setUp({ maxSubjects: 2 });
    clock.advance(365 * 86_400_000);
    claim('a');
    claim('b');
    clock.advance(-365 * 86_400_000);
    expect(() => claim('c')).toThrow(overloaded);
    clock.advance(windowMs + 2000);
    expect(claim('c').admitted).toBe(true);
  });

  it('release a subject that keeps asking while the clock is far behind', () => {
    const { clock, claim } = setUp();
    clock.advance(10 * windowMs);
    claim('a');
    claim('a');
    clock.advance(-10 * windowMs);
    let waitedMs = 0;
    while (!claim('a').admitted) {
      clock.advance(1000);
      waitedMs += 1000;
      expect(waitedMs).toBeLessThanOrEqual(windowMs + 2000);
    }
    expect(waitedMs).toBe(windowMs + 2000);
  });

  it('know an id for its time and no longer', () => {
    const { clock, claim, used } = setUp({ recordTtlMs: 15_000 });
    claim('a', { id: '1' });
    clock.advance(14_999);
    claim('a', { id: '1' });
    expect(used('a')).toBe(1);
    clock.advance(1);
    claim('a', { id: '1' });
    expect(used('a')).toBe(2);
  });

  it('forget the oldest id when there are too many, so that its retry is charged again', () => {
    const { claim, used } = setUp({ maxRecords: 2 });
    claim('a', { id: '1' });
    claim('b', { id: '2' });
    claim('c', { id: '3' });
    claim('c', { id: '3' });
    claim('a', { id: '1' });
    expect(['a', 'b', 'c'].map(used)).toEqual([2, 1, 1]);
  });

  it('do not take a subject and id for another subject and id', () => {
    const { claim, used } = setUp();
    claim('ab', { id: 'c' });
    claim('a', { id: 'bc' });
    expect(['ab', 'a'].map(used)).toEqual([1, 1]);
  });

  it('are charged by a claim at its deadline, and not by one past it', () => {
    const { clock, claim, used } = setUp();
    claim('a', { deadlineAtMs: clock.now() });
    expect(() => claim('a', { deadlineAtMs: clock.now() - 1 })).toThrow(
      expect.objectContaining({ dependency: 'memory', code: 'timeout' }),
    );
    expect(used('a')).toBe(1);
  });
});
