import { describe, expect, it } from 'vitest';
import { createServerClock } from '../../src/redis/server-clock.ts';

/** A server whose clock leads ours by `leadMs`, asked at `sentAtMs` over a way of so many ms each. */
function observe(
  clock: ReturnType<typeof createServerClock>,
  {
    leadMs,
    sentAtMs,
    thereMs,
    backMs,
  }: Readonly<Record<'leadMs' | 'sentAtMs' | 'thereMs' | 'backMs', number>>,
): void {
  clock.observe(sentAtMs, (sentAtMs + thereMs + leadMs) * 1000, sentAtMs + thereMs + backMs);
}

const atMs = 1_750_000_000_000;

describe("a server's clock", () => {
  it('is unknown before its first reply', () => {
    expect(createServerClock().serverUs(atMs)).toBeUndefined();
  });

  it('is never taken to be ahead of what it shows, and behind by no more than the way back', () => {
    const clock = createServerClock();
    observe(clock, { leadMs: 5000, sentAtMs: atMs, thereMs: 3, backMs: 8 });
    const errorUs = (clock.serverUs(atMs) ?? 0) - (atMs + 5000) * 1000;
    expect(errorUs).toBeLessThanOrEqual(0);
    expect(errorUs).toBeGreaterThanOrEqual(-9000);
  });

  it('is known better with every quicker reply, and no worse with a slower one', () => {
    const clock = createServerClock();
    observe(clock, { leadMs: -700, sentAtMs: atMs, thereMs: 30, backMs: 40 });
    observe(clock, { leadMs: -700, sentAtMs: atMs + 100, thereMs: 1, backMs: 0 });
    const known = clock.serverUs(atMs);
    observe(clock, { leadMs: -700, sentAtMs: atMs + 200, thereMs: 20, backMs: 90 });
    expect(clock.serverUs(atMs)).toBe(known);
    expect((atMs - 700) * 1000 - (known ?? 0)).toBeLessThanOrEqual(1000);
  });

  it.each([60_000, -60_000, 50, -50])('is believed at its next reply when it was set by %i ms', (stepMs) => {
    const clock = createServerClock();
    observe(clock, { leadMs: 0, sentAtMs: atMs, thereMs: 1, backMs: 1 });
    observe(clock, { leadMs: stepMs, sentAtMs: atMs + 1000, thereMs: 1, backMs: 1 });
    const errorUs = (clock.serverUs(atMs) ?? 0) - (atMs + stepMs) * 1000;
    expect(errorUs).toBeLessThanOrEqual(0);
    expect(errorUs).toBeGreaterThanOrEqual(-2000);
  });

  it('is not judged by a reply during which our own clock was set back', () => {
    const clock = createServerClock();
    observe(clock, { leadMs: 0, sentAtMs: atMs, thereMs: 1, backMs: 1 });
    const known = clock.serverUs(atMs);
    clock.observe(atMs + 1000, (atMs + 1001) * 1000, atMs - 60_000);
    expect(clock.serverUs(atMs)).toBe(known);
  });
});
