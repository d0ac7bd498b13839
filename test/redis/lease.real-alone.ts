import { afterEach, describe, expect, inject, it } from 'vitest';
import { type RedisServer, startRedis } from '../real/redis.ts';
import { type Hammer, hammer, type Hammered, mostInAnyWindow, scriptCalls } from './hammering.ts';

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

async function start(): Promise<RedisServer> {
  const server = await startRedis();
  ended.push(server.stop);
  return server;
}

const limit = 10_000;
const windowMs = 4000;

async function hammerAll(server: RedisServer, all: readonly Partial<Hammer>[]): Promise<readonly Hammered[]> {
  const program = inject('programPath');
  const common = {
    program,
    url: server.url,
    limit,
    windowMs,
    forMs: 10_000,
    atOnce: 20,
    everyMs: 2,
    leased: true,
  };
  const done = await Promise.all(all.map((own) => hammer({ ...common, ...own })));
  return done.filter((one) => one !== undefined);
}

describe('three processes that hammer one subject', () => {
  it('never pass more than the limit in any window, and leave little unspent when denied', async () => {
    const server = await start();
    await server.cli('CONFIG', 'RESETSTAT');
    const done = await hammerAll(server, [{}, {}, {}]);
    const calls = await scriptCalls(server);
    const admitted = done.flatMap((one) => one.admitted);
    const firstDeniedUs = Math.min(...done.map((one) => one.firstDeniedUs));
    const atFirstDenial = admitted.filter(([, answeredUs]) => answeredUs <= firstDeniedUs).length;
    console.info(
      `${admitted.length} admitted, most in any window ${mostInAnyWindow(admitted, windowMs)}, ` +
        `${limit - atFirstDenial} unspent at the first denial, ${(calls / admitted.length).toFixed(4)} calls each`,
    );
    expect(done.map(({ failed }) => failed)).toEqual([0, 0, 0]);
    expect(mostInAnyWindow(admitted, windowMs)).toBeLessThanOrEqual(limit);
    // Ten seconds hold two windows and a half; each burst comes back after a window and a slot at most.
    expect(admitted.length).toBeGreaterThan(2 * limit);
    expect(limit - atFirstDenial).toBeLessThanOrEqual((2 * limit) / 32);
    // Always at the limit: of what each slot releases, the last units are asked for one by one.
    expect(calls / admitted.length).toBeLessThan(0.2);
  });

  it('use a limit up with less than 0.05 calls for each that passes', async () => {
    const server = await start();
    await server.cli('CONFIG', 'RESETSTAT');
    const done = await hammerAll(
      server,
      [{}, {}, {}].map(() => ({ windowMs: 60_000, atOnce: 10, everyMs: 5, forMs: 4000 })),
    );
    const admitted = done.flatMap((one) => one.admitted).length;
    const calls = await scriptCalls(server);
    console.info(`${admitted} admitted, ${(calls / admitted).toFixed(4)} calls each`);
    expect(admitted).toBe(limit);
    expect(calls / admitted).toBeLessThan(0.05);
  });

  it('are one call for each claim without leases', async () => {
    const server = await start();
    await server.cli('CONFIG', 'RESETSTAT');
    const done = await hammerAll(
      server,
      [{}, {}].map(() => ({ forMs: 1000, atOnce: 2, everyMs: 5, leased: false })),
    );
    const admitted = done.flatMap((one) => one.admitted);
    expect(admitted.length).toBeGreaterThan(100);
    expect(await scriptCalls(server)).toBe(admitted.length);
  });

  it('leave nothing charged that was not used, once they have ended', async () => {
    const server = await start();
    const done = await hammerAll(
      server,
      [{}, {}].map(() => ({ forMs: 800, windowMs: 60_000, atOnce: 3 })),
    );
    const admitted = done.flatMap((one) => one.admitted).length;
    const keys = (await server.cli('KEYS', 'tg:*:w:*')).split('\n');
    // The total of the window, the second number of its packed form, is what was admitted.
    const total = await server.cli(
      'EVAL',
      "local _, _, total = struct.unpack('<Bdd', redis.call('GET', KEYS[1])) return total",
      '1',
      keys[0] ?? '',
    );
    expect(Number(total)).toBe(admitted);
  });
});
