import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisBoosts } from '../../src/redis/boosts.ts';
import { createRedisConnection } from '../../src/redis/connection.ts';
import { createRedisConsume } from '../../src/redis/consume.ts';
import { createKeyspace } from '../../src/redis/keys.ts';
import { createRedisSettlements } from '../../src/redis/settle.ts';
import { createSecret } from '../../src/secret.ts';
import { startRedis } from '../real/redis.ts';
import { describeReservations, reservationTtlMs } from './reservation.contract.ts';
import { describeSettle } from './settle.contract.ts';

const start = async () => {
  const server = await startRedis();
  const connection = createRedisConnection({ target: { kind: 'single', url: server.url }, now: Date.now });
  await connection.waitUntilReady(5000);
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
      await server.stop();
    },
  };
};

describeSettle('in Redis', start);
describeReservations('in Redis', start);
