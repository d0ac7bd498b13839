import { describe, expect, it } from 'vitest';
import type { Claim, Decision } from '../../src/check/limit.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import type { RedisConnection, RunScript } from '../../src/redis/connection.ts';
import { createRedisConsume } from '../../src/redis/consume.ts';
import { createServerClock } from '../../src/redis/server-clock.ts';
import { createSecret } from '../../src/secret.ts';
import { createManualClock } from '../support/manual-clock.ts';

const minute: WindowLimit = { scope: '*', unit: 'requests', windowMs: 60_000, limit: 20, mode: 'enforce' };
const hour: WindowLimit = { ...minute, windowMs: 3_600_000, mode: 'shadow' };
const charges = [
  { window: minute, cost: 1 },
  { window: hour, cost: 1 },
];

/** How far the server's clock is ahead of ours. */
const leadMs = 5000;

/** A connection whose server says what `reply` says. */
function setUp(reply: (serverUs: number) => unknown, { isSynced = true } = {}) {
  const clock = createManualClock();
  const serverClock = createServerClock();
  const serverUs = () => (clock.now() + leadMs) * 1000;
  if (isSynced) serverClock.observe(clock.now(), serverUs(), clock.now());
  const calls: { readonly keys: readonly string[]; readonly args: readonly string[] }[] = [];
  const run: RunScript = async (keys, args) => {
    calls.push({ keys, args });
    return reply(serverUs());
  };
  const connection: RedisConnection = {
    state: () => ({ phase: 'connecting', fault: new DependencyError('redis', 'misconfigured') }),
    waitUntilReady: async () => true,
    script: () => run,
    clockOf: () => serverClock,
    close: async () => undefined,
  };
  const keySecret = createSecret('a key of the counters');
  const consume = createRedisConsume({ connection, keySecret, now: clock.now });
  const claim = async (more: Partial<Claim> = {}): Promise<Decision> =>
    consume({ subject: 'alice', id: '4711', charges, deadlineAtMs: clock.now() + 100, ...more });
  return { clock, claim, calls };
}

const admitted = (serverUs: number) => [1, serverUs, 0, 3, 1_000_001, 25, 9_000_000];

describe('a claim on Redis', () => {
  it('is one call with the record and all windows of the subject, none of which tells who that is', async () => {
    const { claim, calls } = setUp(admitted);
    await claim();
    const [call] = calls;
    const tag = /\{(.*)\}/.exec(call?.keys[0] ?? '')?.[1];
    expect(calls).toHaveLength(1);
    expect(call?.keys).toEqual([
      `tg:{${tag}}:r:4711`,
      `tg:{${tag}}:w:*:requests:60000`,
      `tg:{${tag}}:w:*:requests:3600000`,
      `tg:{${tag}}:b`,
    ]);
    expect(JSON.stringify(call)).not.toContain('alice');
    // A shadow limit of 20 goes out as -21: charged within it, and never in the way.
    expect(call?.args.slice(1)).toEqual(['15000', '', '60000000', '1', '20', '3600000000', '1', '-21']);
  });

  it('has no record without an id, nor when it only looks', async () => {
    const { claim, calls } = setUp(admitted);
    await claim({ id: '' });
    await claim({ charges: charges.map(({ window }) => ({ window, cost: 0 })) });
    for (const { keys, args } of calls) {
      expect(keys.every((key) => !key.includes(':r:'))).toBe(true);
      expect(args[1]).toBe('0');
    }
  });

  it('ends in the time of the server, at its deadline or the time-out of a command, whichever is first', async () => {
    const { clock, claim, calls } = setUp(admitted);
    await claim({ deadlineAtMs: clock.now() + 30 });
    await claim({ deadlineAtMs: clock.now() + 10_000 });
    const notAfter = calls.map(({ args }) => Number(args[0]) / 1000 - leadMs - clock.now());
    // Cut off by less than the millisecond that our clock does not tell.
    expect(notAfter[0]).toBeGreaterThanOrEqual(29);
    expect(notAfter[0]).toBeLessThanOrEqual(30);
    expect(notAfter[1]).toBeGreaterThanOrEqual(49);
    expect(notAfter[1]).toBeLessThanOrEqual(50);
  });

  it('is told every window as it stands', async () => {
    const { claim } = setUp(admitted);
    expect(await claim()).toEqual({
      admitted: true,
      retryAfterMs: undefined,
      windows: [
        { window: minute, remaining: 17, resetAfterMs: 1001, exceeded: false },
        { window: hour, remaining: 0, resetAfterMs: 9000, exceeded: true },
      ],
    });
  });

  it('is denied with the time after which it fits, or none', async () => {
    const denied = (fits: number) => (serverUs: number) => [0, serverUs, fits, 20, 5000, 25, 5000];
    expect(await setUp(denied(1_234_001)).claim()).toMatchObject({ admitted: false, retryAfterMs: 1235 });
    expect(await setUp(denied(-1)).claim()).toMatchObject({ admitted: false, retryAfterMs: undefined });
  });

  it.each<readonly [string, (serverUs: number) => unknown, string]>([
    ['late', (serverUs) => [-1, serverUs, 0], 'timeout'],
    ['a stored value that is no window', (serverUs) => [-2, serverUs, 0], 'malformed'],
    ['too short', (serverUs) => [1, serverUs, 0, 3, 1000], 'malformed'],
    ['too long', (serverUs) => [...admitted(serverUs), 1], 'malformed'],
    ['no numbers', () => ['1', '2', '3', '4', '5', '6', '7'], 'malformed'],
    ['nothing', () => null, 'malformed'],
  ])('could not be told of by a reply that is %s', async (_name, reply, code) => {
    await expect(setUp(reply).claim()).rejects.toMatchObject({ dependency: 'redis', code });
  });

  it('is given up at its deadline when there is no reply, and a late one changes nothing', async () => {
    let answer: (value: unknown) => void = () => undefined;
    const { clock, claim } = setUp(() => new Promise((resolve) => (answer = resolve)));
    const startedAt = performance.now();
    await expect(claim({ deadlineAtMs: clock.now() + 20 })).rejects.toMatchObject({
      dependency: 'redis',
      code: 'timeout',
    });
    expect(performance.now() - startedAt).toBeGreaterThan(18);
    answer('too late, and no reply of the script either');
    await new Promise(setImmediate);
  });

  it('is not sent when no time is left', async () => {
    const { clock, claim, calls } = setUp(admitted);
    await expect(claim({ deadlineAtMs: clock.now() })).rejects.toMatchObject({ code: 'timeout' });
    expect(calls).toEqual([]);
  });

  it('is not sent before the clock of the server is known', async () => {
    const { claim, calls } = setUp(admitted, { isSynced: false });
    await expect(claim()).rejects.toMatchObject({ dependency: 'redis', code: 'misconfigured' });
    expect(calls).toEqual([]);
  });

  it('follows the clock of the server as its replies tell it', async () => {
    let stepUs = 0;
    const { clock, claim, calls } = setUp((serverUs) => admitted(serverUs + stepUs));
    stepUs = 60_000_000;
    await claim();
    await claim();
    expect(Number(calls[1]?.args[0]) / 1000).toBeGreaterThan(clock.now() + leadMs + 60_000);
  });
});
