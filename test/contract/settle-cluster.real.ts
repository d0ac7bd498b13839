import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisBoosts } from '../../src/redis/boosts.ts';
import { createRedisConnection } from '../../src/redis/connection.ts';
import { createRedisConsume } from '../../src/redis/consume.ts';
import { createKeyspace } from '../../src/redis/keys.ts';
import { createRedisSettlements } from '../../src/redis/settle.ts';
import { createSecret } from '../../src/secret.ts';
import { startRedisCluster } from '../real/redis-groups.ts';
import { describeReservations, reservationTtlMs } from './reservation.contract.ts';
import { describeSettle } from './settle.contract.ts';

/** The settle script names the windows itself: on a cluster that works because they share the record's hash tag. */
const start = async () => {
  const cluster = await startRedisCluster();
  const nodes = cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
  const connection = createRedisConnection({ target: { kind: 'cluster', nodes }, now: Date.now });
  await connection.waitUntilReady(20_000);
  const options = {
    connection,
    keySecret: createSecret('a key of the counters'),
    now: Date.now,
    commandTimeoutMs: 1000,
    reservationTtlMs,
  };
  return {
    consume: createRedisConsume(options),
    ...createRedisSettlements(options),
    reservationNames: createKeyspace(options.keySecret),
    ...createRedisBoosts(options),
    now: Date.now,
    wait: (ms: number) => sleep(ms),
    stop: async () => {
      await connection.close();
      await cluster.stop();
    },
  };
};

describeSettle('in a Redis Cluster', start);
describeReservations('in a Redis Cluster', start);
