import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisConnection } from '../../src/redis/connection.ts';
import { createRedisSlots } from '../../src/redis/slots.ts';
import { createSecret } from '../../src/secret.ts';
import { startRedis } from '../real/redis.ts';
import { describeSlots } from './slots.contract.ts';

describeSlots('in Redis', async () => {
  const server = await startRedis();
  const connection = createRedisConnection({ target: { kind: 'single', url: server.url }, now: Date.now });
  await connection.waitUntilReady(5000);
  const leaseMs = 2000;
  return {
    slots: createRedisSlots({
      connection,
      keySecret: createSecret('a key of the counters'),
      now: Date.now,
      leaseMs,
      commandTimeoutMs: 1000,
    }),
    now: Date.now,
    wait: (ms) => sleep(ms),
    leaseMs,
    stop: async () => {
      await connection.close();
      await server.stop();
    },
  };
});
