import { describe, expect, it } from 'vitest';
import type { RedisConnection } from '../../src/redis/connection.ts';
import { createRedisSlots } from '../../src/redis/slots.ts';
import { createSecret } from '../../src/secret.ts';

interface Sent {
  readonly lua: string;
  readonly keys: readonly string[];
  readonly args: readonly string[];
  readonly reply: (value: unknown) => void;
}

/** A server that answers when the test says so. */
function setUp() {
  const sent: Sent[] = [];
  const connection: Pick<RedisConnection, 'script' | 'clockOf' | 'state'> = {
    script: (lua) => (keys, args) =>
      new Promise((resolve) => void sent.push({ lua, keys, args, reply: resolve })),
    clockOf: () => ({ serverUs: (ms: number) => ms * 1000, observe: () => undefined }),
    state: () => ({ phase: 'ready', fault: undefined }),
  };
  const slots = createRedisSlots({
    connection: connection as RedisConnection,
    keySecret: createSecret('a key of the counters'),
    now: Date.now,
    leaseMs: 60_000,
    commandTimeoutMs: 10,
    releaseTimeoutMs: 10,
  });
  const take = () =>
    Promise.resolve(slots.take({ subject: 'alice', id: '1', limit: 8, deadlineAtMs: Date.now() + 1000 }));
  return { sent, slots, take };
}

describe('a slot in Redis', () => {
  it('that was given up is given back when its answer comes after all', async () => {
    const { sent, take } = setUp();
    await expect(take()).rejects.toMatchObject({ code: 'timeout' });
    expect(sent).toHaveLength(1);
    sent[0]?.reply([1, 5, '60000005', 1]);
    await expect.poll(() => sent).toHaveLength(2);
    expect(sent[1]?.keys).toEqual(sent[0]?.keys);
    expect(sent[1]?.args).toEqual([sent[0]?.args[3], '60000005']);
  });

  it('that was refused late needs no giving back', async () => {
    const { sent, take } = setUp();
    await expect(take()).rejects.toMatchObject({ code: 'timeout' });
    sent[0]?.reply([0, 5, '0', 8]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(sent).toHaveLength(1);
  });

  it('has a key of its subject alone, and no name in it', async () => {
    const { sent, take, slots } = setUp();
    const taken = take();
    sent[0]?.reply([1, 5, '60000005', 1]);
    const { slot } = await taken;
    expect(sent[0]?.keys).toEqual([expect.stringMatching(/^tg:\{[\w-]{22}\}:s$/)]);
    expect(JSON.stringify(sent)).not.toContain('alice');
    await expect(slots.release(slot?.id ?? '')).rejects.toMatchObject({ code: 'timeout' });
    expect(sent[1]?.keys).toEqual(sent[0]?.keys);
  });

  it.each([[null], [[]], [[1, 'x', '1', 1]], [[1, 5, 7, 1]]])(
    'is not made of the reply %j',
    async (reply) => {
      const { sent, take } = setUp();
      const taken = take();
      sent[0]?.reply(reply);
      await expect(taken).rejects.toMatchObject({ code: 'malformed' });
    },
  );
});
