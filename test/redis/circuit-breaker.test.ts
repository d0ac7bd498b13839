import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createCircuitBreaker } from '../../src/redis/circuit-breaker.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setUp() {
  const breaker = createCircuitBreaker({ patienceMs: 50, elapsed: () => Date.now() });
  const enter = () => breaker.enter() ?? expect.unreachable('nothing may be sent');
  const isOpen = () => {
    const leave = breaker.enter();
    leave?.();
    return leave === undefined;
  };
  return { breaker, enter, isOpen };
}

describe('a server that owes replies', () => {
  it('is sent no more once the oldest is overdue', () => {
    const { breaker, enter } = setUp();
    enter();
    vi.advanceTimersByTime(40);
    expect(breaker.enter()).toBeDefined();
    vi.advanceTimersByTime(11);
    expect(breaker.enter()).toBeUndefined();
  });

  it('is sent calls for as long as each is answered in time', () => {
    const { enter, isOpen } = setUp();
    for (let count = 0; count < 20; count += 1) {
      const leave = enter();
      vi.advanceTimersByTime(45);
      leave();
    }
    expect(isOpen()).toBe(false);
  });

  it('is tried with one call at a time after all it owed is there, and used again when that is answered', () => {
    const { breaker, enter } = setUp();
    const overdue = [enter(), enter()];
    vi.advanceTimersByTime(60);
    overdue[0]?.();
    expect(breaker.enter()).toBeUndefined();
    overdue[1]?.();
    const probe = enter();
    expect(breaker.enter()).toBeUndefined();
    probe();
    expect([breaker.enter(), breaker.enter()]).not.toContain(undefined);
  });

  it('is left alone again when the one call is overdue too', () => {
    const { breaker, enter } = setUp();
    const overdue = enter();
    vi.advanceTimersByTime(60);
    overdue();
    const probe = enter();
    vi.advanceTimersByTime(60);
    expect(breaker.enter()).toBeUndefined();
    probe();
    enter()();
    expect(breaker.enter()).toBeDefined();
  });

  it('counts a reply once, however often it is told of', () => {
    const { breaker, enter } = setUp();
    const [first, second] = [enter(), enter()];
    vi.advanceTimersByTime(60);
    first();
    first();
    expect(breaker.enter()).toBeUndefined();
    second();
    expect(breaker.enter()).toBeDefined();
  });
});
