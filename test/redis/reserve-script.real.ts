import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import * as fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { claimWindows, emptyWindow, resetAfterUs, type SlottedWindow } from '../../src/check/window.ts';
import { createReserveScript, reserveScript, reserveStatus } from '../../src/redis/reserve-script.ts';
import { clockAdvanceUs, type Scenario, steadyScenarios, steppedScenarios } from '../check/window-oracle.ts';
import { type RedisServer, startRedis } from '../real/redis.ts';

const startUs = 1_750_000_000_000_000;
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

/** The script, with the last argument for a clock. */
const clockedScript = createReserveScript('local now = tonumber(ARGV[#ARGV])');

const newTag = () => randomBytes(16).toString('base64url');

interface Call {
  readonly script: string;
  readonly tag: string;
  readonly id: number;
  readonly windows: readonly {
    readonly lengthUs: number;
    readonly units: number;
    readonly limit: number | undefined;
  }[];
  readonly nowUs: number;
  readonly aheadUs?: number;
}

async function callScript({
  script,
  tag,
  id,
  windows,
  nowUs,
  aheadUs = 0,
}: Call): Promise<readonly number[]> {
  const keys = windows.map(({ lengthUs }, index) => `tg:{${tag}}:w:${index}:requests:${lengthUs / 1000}`);
  if (id > 0) keys.unshift(`tg:{${tag}}:r:${id}`);
  const args = [farFutureUs, id > 0 ? '15000' : '0', ''];
  for (const { lengthUs, units, limit } of windows) args.push(`${lengthUs}`, `${units}`, `${limit ?? -1}`);
  return (await redis.eval(
    script,
    keys.length,
    ...keys,
    ...args,
    `${aheadUs}`,
    `${nowUs}`,
  )) as readonly number[];
}

/**
 * The model's answer in the form of the script's. As on Redis, a window is kept when it was charged or its
 * epoch began, and released slots of others may come back with the clock.
 */
function createModel(scenario: Scenario) {
  const kept: (SlottedWindow | undefined)[] = scenario.windows.map(() => undefined);
  const ids = new Set<number>();
  return ({ id, windows, nowUs, aheadUs }: Omit<Call, 'script' | 'tag'>): readonly number[] => {
    const isRepeated = id > 0 && ids.has(id);
    const states = windows.map(({ lengthUs }, index) => kept[index] ?? emptyWindow(lengthUs, nowUs));
    const demands = isRepeated ? windows.map(({ limit }) => ({ units: 0, limit })) : windows;
    const claimed = claimWindows(states, demands, nowUs, aheadUs);
    for (const [index, window] of claimed.windows.entries()) {
      const isCharged = claimed.admitted && (demands[index]?.units ?? 0) > 0;
      if (isCharged || window.epoch !== states[index]?.epoch) kept[index] = window;
    }
    if (claimed.admitted && id > 0) ids.add(id);
    const status = claimed.admitted ? reserveStatus.admitted : reserveStatus.denied;
    return [
      isRepeated ? reserveStatus.repeated : status,
      claimed.admitted ? (isRepeated ? 0 : claimed.aheadUs) : (claimed.retryAfterUs ?? -1),
      ...claimed.windows.flatMap((window) => [window.total, resetAfterUs(window, nowUs)]),
    ];
  };
}

/** Some claims are charged ahead: within their slot, or as far as it goes. */
const aheadOfId = [0, 30_000, 1_000_000];

/** Plays a scenario on both; `ids` names each claim, 0 for none. True when every answer is the same. */
async function areSame(script: string, scenario: Scenario, ids: readonly number[]): Promise<boolean> {
  const tag = newTag();
  const model = createModel(scenario);
  const limits = scenario.windows.map(({ limit }) => limit);
  const claimedAtUs: number[] = [];
  let nowUs = startUs;
  for (const [index, event] of scenario.events.entries()) {
    nowUs += clockAdvanceUs(event, scenario, claimedAtUs, nowUs);
    if (event.kind === 'limit' && limits[event.window] !== undefined) limits[event.window] = event.limit;
    if (event.kind !== 'claim') continue;
    claimedAtUs.push(nowUs);
    const windows = scenario.windows.map(({ lengthUs }, at) => ({
      lengthUs,
      limit: limits[at],
      units: event.units[at] ?? 0,
    }));
    const chargesAnything = windows.some(({ units }) => units > 0);
    const id = ids[index] ?? 0;
    const aheadUs = aheadOfId[id % 3] ?? 0;
    const call = { id: chargesAnything ? id : 0, windows, nowUs, aheadUs };
    const [status = 0, , fits = 0, ...readings] = await callScript({ ...call, script, tag });
    const answer = [status, status === reserveStatus.repeated ? 0 : fits, ...readings];
    const expected = model(call);
    if (answer.some((value, at) => value !== expected[at])) return false;
  }
  return true;
}

const sameness = (script: string, scenarios: fc.Arbitrary<Scenario>) =>
  fc.asyncProperty(
    scenarios,
    fc.array(fc.oneof(fc.constant(0), fc.nat({ max: 9 })), { minLength: 60, maxLength: 60 }),
    (scenario, ids) => areSame(script, scenario, ids),
  );

/** What to change in the script, and into what. */
const mutants: Readonly<Record<string, readonly [string, string]>> = {
  'a slot released by its first stamp': ['current, at', 'current, newest > 0 and stamp or at'],
  'a slot released one microsecond late': ['slotStamp + length > now', 'slotStamp + length >= now'],
  'a window released one microsecond late': ['stamp + length <= now', 'stamp + length < now'],
  'no new epoch after a long step back': ['now + length < stamp', 'false'],
  'an epoch that is not kept where nothing is charged': ['begun[i] = true', ''],
  'everything forgotten at a long step back': ['= total, size + 1', '= 0, size + 1 total = 0'],
  'a stamp that goes back with the clock': ['and at > stamp then', 'and at ~= stamp then'],
  'charged past the end of its slot': ['math.min(at, ceil(', 'math.max(at, -ceil('],
  'charged now in place of ahead': ['at = now + math', 'at = now + 0 * math'],
  'stamped now after a long step back': ['now + math.min(2000000, floor(length / 20))', 'now'],
  'a retry charged again': ['repeated and 2 or', 'false and 2 or'],
  'a shadow window that denies': ['limit >= 0 and total', 'total'],
  'a slot of one unit lost': ['and newest > 0', 'and newest > 1'],
  'Retry-After of the newest slot': ['at = slotStamp + length', 'at = at'],
  'charged though denied': ['local units, slot = charging and', 'local units, slot ='],
  'released slots kept': ['sub(value, froms[i])', 'sub(value, 34)'],
  'numbers kept to 14 digits': [
    'total, stamp, newest + units',
    'total, tonumber(tostring(stamp)), newest + units',
  ],
};

describe('the script and the model', () => {
  it('give the same answers to any claims at any time', async () => {
    await fc.assert(sameness(clockedScript, steadyScenarios), { numRuns: 200 });
  });

  it('give the same answers whichever way the clock is set', async () => {
    await fc.assert(sameness(clockedScript, steppedScenarios), { numRuns: 200 });
  });

  it.each(Object.entries(mutants))('are told apart by %s', async (name, [from, to]) => {
    expect(clockedScript.split(from)).toHaveLength(2);
    const mutant = clockedScript.replace(from, to);
    const options = { seed: 20_261_122, numRuns: 300, endOnFailure: true };
    const isFound =
      (await fc.check(sameness(mutant, steadyScenarios), options)).failed ||
      (await fc.check(sameness(mutant, steppedScenarios), options)).failed;
    expect([name, isFound]).toEqual([name, true]);
  });
});

const minute = { lengthUs: 60_000_000, units: 1, limit: 5 };
const minuteKey = (tag: string) => `tg:{${tag}}:w:0:requests:60000`;

describe('what the script stores', () => {
  it('lives until its newest unit is a window old, also when that came late in its slot', async () => {
    const tag = newTag();
    await callScript({ script: clockedScript, tag, id: 0, windows: [minute], nowUs: startUs });
    // As if most of the key's time were over; the slot is still the same.
    await redis.pexpire(minuteKey(tag), 1000);
    await callScript({ script: clockedScript, tag, id: 0, windows: [minute], nowUs: startUs + 2_900_000 });
    expect(await redis.pttl(minuteKey(tag))).toBeGreaterThan(60_000);
    expect(await redis.pttl(minuteKey(tag))).toBeLessThanOrEqual(62_000);
  });

  it('lives as long as the clock needs to catch up and the window to pass', async () => {
    const tag = newTag();
    await callScript({ script: clockedScript, tag, id: 0, windows: [minute], nowUs: startUs });
    await callScript({ script: clockedScript, tag, id: 0, windows: [minute], nowUs: startUs - 30_000_000 });
    expect(await redis.pttl(minuteKey(tag))).toBeGreaterThan(90_000);
    expect(await redis.pttl(minuteKey(tag))).toBeLessThanOrEqual(92_000);
  });

  it('is at most 353 bytes for a window, however many units and calls', async () => {
    const tag = newTag();
    const windows = [{ lengthUs: 60_000_000, units: 1, limit: 1_000_000 }];
    // The first and the last moment of each slot: so the most slots are alive together.
    const firstSlot = Math.ceil(startUs / 3_000_000);
    for (let slot = 0; slot < 50; slot += 1) {
      const slotUs = (firstSlot + slot) * 3_000_000;
      await callScript({ script: clockedScript, tag, id: 0, windows, nowUs: slotUs });
      if (slot < 49)
        await callScript({ script: clockedScript, tag, id: 0, windows, nowUs: slotUs + 2_999_999 });
    }
    expect(await redis.strlen(minuteKey(tag))).toBe(353);
  });

  it('records for each charged window its name, epoch, slot and units', async () => {
    const tag = newTag();
    const windows = [
      { lengthUs: 60_000_000, units: 2, limit: 5 },
      { lengthUs: 2_000_000, units: 0, limit: 5 },
      { lengthUs: 3_600_000_000, units: 700, limit: undefined },
    ];
    await callScript({ script: clockedScript, tag, id: 0, windows: [minute], nowUs: startUs });
    const laterUs = startUs + 7_000_000;
    await callScript({ script: clockedScript, tag, id: 3, windows, nowUs: laterUs });
    const record = await redis.getBuffer(`tg:{${tag}}:r:3`);
    expect(record && readRecord(record)).toEqual([
      { name: '0:requests:60000', epoch: startUs, slot: Math.floor(laterUs / 3_000_000), units: 2 },
      { name: '2:requests:3600000', epoch: laterUs, slot: Math.floor(laterUs / 180_000_000), units: 700 },
    ]);
    expect(await redis.pttl(`tg:{${tag}}:r:3`)).toBeGreaterThan(14_000);
  });

  it('is nothing for a claim that runs after its time', async () => {
    const tag = newTag();
    const [, nowUs = 0] = await callServerScript(tag, 60_000, { notAfterUs: farFutureUs, units: 0 });
    const late = await callServerScript(tag, 60_000, { notAfterUs: String(nowUs - 1) });
    expect(late[0]).toBe(reserveStatus.late);
    expect(await redis.exists(minuteKey(tag))).toBe(0);
  });
});

function callServerScript(
  tag: string,
  windowMs: number,
  { notAfterUs = farFutureUs, units = 1 } = {},
): Promise<readonly number[]> {
  const key = `tg:{${tag}}:w:0:requests:${windowMs}`;
  const args = [notAfterUs, '0', '', String(windowMs * 1000), String(units), '5'];
  return redis.eval(reserveScript, 1, key, ...args) as Promise<readonly number[]>;
}

interface ChargedWindow {
  readonly name: string;
  readonly epoch: number;
  readonly slot: number;
  readonly units: number;
}

function readRecord(record: Buffer): readonly ChargedWindow[] {
  const charged: ChargedWindow[] = [];
  expect([...record.subarray(0, 2)]).toEqual([1, 0]);
  for (let at = 2; at < record.length; ) {
    const nameEnd = at + 26 + record.readUInt16LE(at);
    charged.push({
      name: record.toString('utf8', at + 26, nameEnd),
      epoch: record.readDoubleLE(at + 2),
      slot: record.readDoubleLE(at + 10),
      units: record.readDoubleLE(at + 18),
    });
    at = nameEnd;
  }
  return charged;
}

const notNumbers = Buffer.concat([Buffer.of(1), Buffer.alloc(32, 0xff)]);
const lessThanItsNewest = Buffer.concat([
  Buffer.of(1),
  ...[startUs, 1, startUs, 2].map((value) => {
    const double = Buffer.alloc(8);
    double.writeDoubleLE(value);
    return double;
  }),
]);

describe('a stored value that is no window', () => {
  it.each<readonly [string, (key: string) => Promise<unknown>]>([
    ['a text', (key) => redis.set(key, 'hello')],
    ['nothing at all', (key) => redis.set(key, '')],
    ['another format', (key) => redis.set(key, Buffer.concat([Buffer.of(2), Buffer.alloc(32)]))],
    ['half a slot', (key) => redis.set(key, Buffer.concat([Buffer.of(1), Buffer.alloc(40)]))],
    ['too many slots', (key) => redis.set(key, Buffer.concat([Buffer.of(1), Buffer.alloc(32 + 21 * 16)]))],
    ['no numbers', (key) => redis.set(key, notNumbers)],
    ['less than its newest slot', (key) => redis.set(key, lessThanItsNewest)],
    ['a hash', (key) => redis.hset(key, 'field', 'value')],
    ['a list', (key) => redis.lpush(key, 'value')],
  ])('charges nothing, says so and gets an end: %s', async (_name, store) => {
    const tag = newTag();
    await store(minuteKey(tag));
    for (let call = 0; call < 2; call += 1) {
      expect((await callServerScript(tag, 60_000))[0]).toBe(reserveStatus.malformed);
    }
    expect(await redis.pttl(minuteKey(tag))).toBeGreaterThan(61_000);
    expect(await redis.pttl(minuteKey(tag))).toBeLessThanOrEqual(62_000);
  });

  it('charges none of the other windows either', async () => {
    const tag = newTag();
    const windows = [
      { lengthUs: 2_000_000, units: 1, limit: 5 },
      { lengthUs: 60_000_000, units: 1, limit: 5 },
    ];
    await redis.set(`tg:{${tag}}:w:1:requests:60000`, 'hello');
    const [status] = await callScript({ script: clockedScript, tag, id: 1, windows, nowUs: startUs });
    expect(status).toBe(reserveStatus.malformed);
    expect(await redis.keys(`tg:{${tag}}:*`)).toEqual([`tg:{${tag}}:w:1:requests:60000`]);
  });

  it('is over a window and two seconds later, at the latest, however often it is asked for', async () => {
    const tag = newTag();
    await redis.set(`tg:{${tag}}:w:0:requests:1000`, 'hello');
    const statuses: (number | undefined)[] = [];
    for (let call = 0; call < 17; call += 1) {
      statuses.push((await callServerScript(tag, 1000))[0]);
      await sleep(200);
    }
    expect(statuses[0]).toBe(reserveStatus.malformed);
    expect(statuses.at(-1)).toBe(reserveStatus.admitted);
  });
});
