import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisConnection } from '../../src/redis/connection.ts';
import { createRedisConsume } from '../../src/redis/consume.ts';
import { createSecret } from '../../src/secret.ts';
import { startRedis } from '../real/redis.ts';
import { describeConsume } from './consume.contract.ts';

describeConsume('in Redis', async () => {
  const server = await startRedis();
  const connection = createRedisConnection({ target: { kind: 'single', url: server.url }, now: Date.now });
  await connection.waitUntilReady(5000);
  const keySecret = createSecret('a key of the counters');
  return {
    consume: createRedisConsume({ connection, keySecret, now: Date.now, commandTimeoutMs: 1000 }),
    now: Date.now,
    wait: (ms) => sleep(ms),
    stop: async () => {
      await connection.close();
      await server.stop();
    },
  };
});
