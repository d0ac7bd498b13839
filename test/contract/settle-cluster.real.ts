import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisBoosts } from '../../src/redis/boosts.ts';
import { createRedisConnection } from '../../src/redis/connection.ts';
import { createRedisConsume } from '../../src/redis/consume.ts';
import { createRedisSettle } from '../../src/redis/settle.ts';
import { createSecret } from '../../src/secret.ts';
import { startRedisCluster } from '../real/redis-groups.ts';
import { describeSettle } from './settle.contract.ts';

/** The settle script names the windows itself: on a cluster that works because they share the record's hash tag. */
describeSettle('in a Redis Cluster', async () => {
  const cluster = await startRedisCluster();
  const nodes = cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
  const connection = createRedisConnection({ target: { kind: 'cluster', nodes }, now: Date.now });
  await connection.waitUntilReady(20_000);
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
      await cluster.stop();
    },
  };
});
