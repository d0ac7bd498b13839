import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { counterName } from '../../src/check/counter.ts';
import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import { createReserveScript, reserveStatus } from '../../src/redis/reserve-script.ts';
import { createSettleScript, settleStatus } from '../../src/redis/settle-script.ts';
import { type RedisServer, startRedis } from '../real/redis.ts';

const startMs = 1_750_000_000_000;
const farFutureUs = String(2 ** 52);

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

/** The scripts, with the last argument for a clock. */
const clock = 'local now = tonumber(ARGV[#ARGV])';
const reserve = createReserveScript(clock);
const settle = createSettleScript(clock);

const windows: readonly WindowLimit[] = [
  { scope: '*', unit: 'requests', windowMs: 2000, limit: 12, mode: 'enforce' },
  { scope: 'llm/big-*', unit: 'tokens', windowMs: 3000, limit: 60, mode: 'enforce' },
  { scope: '*', unit: 'requests', windowMs: 1500, limit: 6, mode: 'shadow' },
  { scope: '*', unit: 'outputTokens', windowMs: 2500, limit: 50, mode: 'enforce' },
];

type Event =
  | { readonly kind: 'reset' }
  | { readonly kind: 'wait'; readonly ms: number }
  | {
      readonly kind: 'claim';
      readonly id: number;
      readonly units: number;
      readonly tokens: number;
      readonly output: number;
      /** 0: the tokens are no reservation. */
      readonly weight: number;
    }
  | {
      readonly kind: 'settle';
      readonly id: number;
      readonly tokens: number | 'nothing';
      readonly output: number | undefined;
      readonly isReservation: boolean;
    };

const anyId = fc.integer({ min: 1, max: 6 });
const wait = fc.record({
  kind: fc.constant('wait' as const),
  ms: fc.oneof(fc.constantFrom(0, 99, 100, 149, 150, 1499, 1500, 2000), fc.nat({ max: 400 })),
});
const claim = fc.record({
  kind: fc.constant('claim' as const),
  id: anyId,
  units: fc.integer({ min: 1, max: 4 }),
  tokens: fc.nat({ max: 30 }),
  output: fc.nat({ max: 10 }),
  weight: fc.nat({ max: 3 }),
});
const settlement = fc.record({
  kind: fc.constant('settle' as const),
  id: anyId,
  tokens: fc.oneof(fc.constant('nothing' as const), fc.nat({ max: 40 })),
  output: fc.option(fc.nat({ max: 20 }), { nil: undefined }),
  isReservation: fc.boolean(),
});
const reset = fc.constant({ kind: 'reset' as const });

const scenarios = fc.array(
  fc.oneof(
    { arbitrary: wait, weight: 8 },
    { arbitrary: claim, weight: 8 },
    { arbitrary: settlement, weight: 8 },
    { arbitrary: reset, weight: 1 },
  ),
  { minLength: 3, maxLength: 30 },
);

/** Plays a scenario on both; true when every answer is the same. */
async function areSame(settleScript: string, events: readonly Event[]): Promise<boolean> {
  const tag = randomBytes(16).toString('base64url');
  const prefix = `tg:{${tag}}`;
  let nowMs = startMs;
  const model = createMemoryCounters({ now: () => nowMs, reservationTtlMs: 15_000 });
  const ofSubject = model.reservationNames.tagOf('s');
  for (const event of events) {
    const nowUs = String(nowMs * 1000);
    if (event.kind === 'wait') nowMs += event.ms;
    else if (event.kind === 'reset') {
      // In the server's time no two commands run at once.
      nowMs += 1;
      await redis.unlink(windows.map((window) => `${prefix}:w:${counterName(window)}`));
      model.resetCounters('s', windows);
    } else if (event.kind === 'claim') {
      const { units, tokens, output, weight } = event;
      const costs = [units, tokens * Math.max(1, weight), units, output * Math.max(1, weight)];
      const charges = windows.map((window, at) => ({
        window,
        cost: weight > 0 && window.unit !== 'requests' ? weight : (costs[at] ?? 0),
      }));
      const id = weight > 0 ? `t${event.id}` : String(event.id);
      const counts = { tokens, inputTokens: 0, outputTokens: output };
      const reservation = weight > 0 ? { tokens: counts, weight, tag: ofSubject, others: [] } : undefined;
      const keys = [
        `${prefix}:r:${id}`,
        ...windows.map((window) => `${prefix}:w:${counterName(window)}`),
        `${prefix}:b`,
      ];
      const args = windows.flatMap(({ windowMs, limit, mode }, at) => [
        String(windowMs * 1000),
        String(costs[at] ?? 0),
        String(mode === 'shadow' ? -1 - limit : limit),
      ]);
      const reply = (await redis.eval(
        reserve,
        keys.length,
        ...keys,
        farFutureUs,
        '15000',
        weight > 0 ? String(weight) : '',
        ...args,
        '0',
        nowUs,
      )) as number[];
      const [status, , fits = 0, ...readings] = reply;
      const decision = model.consume({
        subject: 's',
        id,
        charges,
        reservation,
        deadlineAtMs: Number.POSITIVE_INFINITY,
      });
      const remaining = windows.map(({ limit }, at) => Math.max(0, limit - (readings[2 * at] ?? 0)));
      const isDenied = status === reserveStatus.denied;
      if (decision.admitted === isDenied) return false;
      if (isDenied && (fits < 0 ? undefined : Math.ceil(fits / 1000)) !== decision.retryAfterMs) return false;
      if (decision.windows.some((state, at) => state.remaining !== remaining[at])) return false;
      if (decision.windows.some(({ resetAfterMs }, at) => resetAfterMs * 1000 !== readings[2 * at + 1]))
        return false;
    } else {
      const { tokens, output, isReservation } = event;
      const args =
        tokens === 'nothing' ? ['3', '60000', 0, 0, 0, 0] : ['2', '60000', -1, tokens, -1, output ?? -1];
      const id = isReservation ? `t${event.id}` : String(event.id);
      const key = `${prefix}:r:${id}`;
      const [status] = (await redis.eval(settleScript, 1, key, farFutureUs, ...args, nowUs)) as number[];
      const settled =
        tokens === 'nothing' || !isReservation
          ? model.settle({
              subject: 's',
              id,
              used: tokens === 'nothing' ? tokens : { tokens, outputTokens: output },
            })
          : model.settleTokens(
              { tag: ofSubject, name: id },
              { tokens, inputTokens: undefined, outputTokens: output },
            );
      if ((status === settleStatus.settled) !== (settled === 'settled')) return false;
    }
  }
  return true;
}

const sameness = (script: string) => fc.asyncProperty(scenarios, (events) => areSame(script, events));

/** What to change in the script, and into what. */
const mutants: Readonly<Record<string, readonly [string, string]>> = {
  'a refund into whichever slot is current': [
    'if floor(stamp / slotLength) == chargedSlot then',
    'if newest > 0 then',
  ],
  'a settlement without a tombstone': [
    "redis.call('SET', KEYS[1], pack('<BB', ARGV[2], headerLength) .. header, 'PX', ARGV[3])",
    '',
  ],
  'a weight that is forgotten': ["tonumber(string.match(header, '^%d+') or 1)", '1'],
  'output taken for the total': ['outputTokens = weighed(ARGV[7])', 'outputTokens = weighed(ARGV[5])'],
  'a refund though the slot has left': ['if not found then return end', ''],
  'a refund though the window began anew': ['if epoch ~= chargedEpoch then return end', ''],
  'a claim taken back though it came again': ["(format ~= 4 or ARGV[2] == '3')", 'format ~= 4'],
  'a claim that came again never settled': ["(format ~= 4 or ARGV[2] == '3')", 'true'],
  'released slots kept': ['tail = sub(value, from)', 'tail = sub(value, 34)'],
  'nothing charged beyond the claim': ['total, newest = total + more, newest + more', ''],
  'the total left as it was': ['total = total - back', ''],
};

describe('the settle script and the model', () => {
  it('give the same answers to any claims and settlements at any time', async () => {
    await fc.assert(sameness(settle), { numRuns: 400 });
  });

  it.each(Object.entries(mutants))('are told apart by %s', async (name, [from, to]) => {
    expect(settle.split(from)).toHaveLength(2);
    const options = { seed: 20_261_122, numRuns: 4000, endOnFailure: true };
    const { failed } = await fc.check(sameness(settle.replace(from, to)), options);
    expect([name, failed]).toEqual([name, true]);
  });
});

describe('what the settle script leaves', () => {
  it('has an end, and says neither who nor how much', async () => {
    const tag = randomBytes(16).toString('base64url');
    const [record, window] = [`tg:{${tag}}:r:a`, `tg:{${tag}}:w:*:requests:60000`];
    const args = [farFutureUs, '15000', '', '60000000', '3', '5', '0', String(startMs * 1000)];
    await redis.eval(reserve, 3, record, window, `tg:{${tag}}:b`, ...args);
    await redis.eval(
      settle,
      1,
      record,
      farFutureUs,
      '3',
      '60000',
      '0',
      '0',
      '0',
      '0',
      String(startMs * 1000),
    );
    expect(await redis.getBuffer(record)).toEqual(Buffer.of(3, 0));
    expect(await redis.pttl(record)).toBeGreaterThan(59_000);
    expect(await redis.pttl(window)).toBeGreaterThan(60_000);
    expect(await redis.pttl(window)).toBeLessThanOrEqual(62_000);
  });

  it('is nothing for a settlement that runs after its time, or of an unknown claim', async () => {
    const tag = randomBytes(16).toString('base64url');
    const record = `tg:{${tag}}:r:a`;
    const used = ['3', '60000', '0', '0', '0', '0', String(startMs * 1000)];
    expect(await redis.eval(settle, 1, record, String(startMs * 1000 - 1), ...used)).toEqual([
      settleStatus.late,
      startMs * 1000,
    ]);
    expect(await redis.eval(settle, 1, record, farFutureUs, ...used)).toEqual([
      settleStatus.unknown,
      startMs * 1000,
      '',
    ]);
    expect(await redis.keys(`tg:{${tag}}:*`)).toEqual([]);
  });
});
