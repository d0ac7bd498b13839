import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisBoosts } from '../../src/redis/boosts.ts';
import { createRedisConnection } from '../../src/redis/connection.ts';
import { createRedisConsume } from '../../src/redis/consume.ts';
import { createRedisSettle } from '../../src/redis/settle.ts';
import { createSecret } from '../../src/secret.ts';
import { startRedis } from '../real/redis.ts';
import { describeSettle } from './settle.contract.ts';

describeSettle('in Redis', async () => {
  const server = await startRedis();
  const connection = createRedisConnection({ target: { kind: 'single', url: server.url }, now: Date.now });
  await connection.waitUntilReady(5000);
  const options = {
    connection,
    keySecret: createSecret('a key of the counters'),
    now: Date.now,
    commandTimeoutMs: 1000,
  };
  return {
    consume: createRedisConsume(options),
    settle: createRedisSettle(options),
    ...createRedisBoosts(options),
    now: Date.now,
    wait: (ms) => sleep(ms),
    stop: async () => {
      await connection.close();
      await server.stop();
    },
  };
});
