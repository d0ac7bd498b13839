import { randomUUID } from 'node:crypto';
import { createLeases } from '../../src/check/lease.ts';
import type { Charge, Claim, Decision } from '../../src/check/limit.ts';
import { createStoreOutage } from '../../src/check/store-outage.ts';
import { isDependencyError } from '../../src/dependency-error.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import type { RedisTarget } from '../../src/redis/client.ts';
import { createRedisConnection, type RedisConnectionOptions } from '../../src/redis/connection.ts';
import { createRedisConsume, createRedisTakeBlock } from '../../src/redis/consume.ts';
import { createKeyspace } from '../../src/redis/keys.ts';
import { createRedisSettlements } from '../../src/redis/settle.ts';
import { createSecret } from '../../src/secret.ts';

/** The counters of one authorizer as it wires them: Redis, leases in front of it, and what holds while it is away. */
export interface Stack {
  readonly claim: (more?: Partial<Claim>) => Promise<Decision>;
  /** So many at once; how each ended: `admitted`, `denied` or the code of a fault. */
  readonly claimAll: (count: number, more?: Partial<Claim>) => Promise<readonly string[]>;
  /** Of what was let pass without Redis, everything told. */
  readonly tellStore: () => Promise<boolean>;
  readonly stop: () => Promise<void>;
}

export interface StackOptions extends Partial<RedisConnectionOptions> {
  readonly target: RedisTarget;
  readonly onStoreUnavailable?: 'local' | 'deny' | 'allow';
  readonly processes?: number;
  readonly commandTimeoutMs?: number;
  readonly deadlineMs?: number;
}

export const windowOf = (limit: number, windowMs = 60_000): WindowLimit => ({
  scope: '*',
  unit: 'requests',
  windowMs,
  limit,
  mode: 'enforce',
});

const twenty: readonly Charge[] = [{ window: windowOf(20), cost: 1 }];

export async function startStack(options: StackOptions): Promise<Stack> {
  const { onStoreUnavailable = 'deny', processes = 1, commandTimeoutMs = 1000, deadlineMs = 5000 } = options;
  let dropLeases = (): void => undefined;
  const connection = createRedisConnection({
    now: Date.now,
    patienceMs: commandTimeoutMs,
    onStateChange: () => dropLeases(),
    ...options,
  });
  const of = {
    connection,
    keySecret: createSecret('a key of the counters'),
    now: Date.now,
    commandTimeoutMs,
  };
  const settlements = createRedisSettlements(of);
  const leases = createLeases({
    consume: createRedisConsume(of),
    takeBlock: createRedisTakeBlock(of),
    settle: settlements.settle,
    newId: randomUUID,
    now: Date.now,
    elapsed: () => performance.now(),
  });
  dropLeases = leases.drop;
  const outage = createStoreOutage({
    store: leases.consume,
    settle: leases.settle,
    settleTokens: settlements.settleTokens,
    reservationNames: createKeyspace(of.keySecret),
    reservationTtlMs: 600_000,
    tell: createRedisConsume({ ...of, recordTtlMs: 600_000 }),
    now: Date.now,
    processes,
    onStoreUnavailable,
    newId: randomUUID,
    onAnswer: () => undefined,
    onTold: () => undefined,
  });
  await connection.waitUntilReady(10_000);

  const claim = async (more: Partial<Claim> = {}): Promise<Decision> =>
    outage.consume({
      subject: 'alice',
      id: randomUUID(),
      charges: twenty,
      deadlineAtMs: Date.now() + deadlineMs,
      ...more,
    });
  return {
    claim,
    claimAll: (count, more) =>
      Promise.all(
        Array.from({ length: count }, () =>
          claim(more).then(
            ({ admitted }) => (admitted ? 'admitted' : 'denied'),
            (error: unknown) => (isDependencyError(error) ? error.code : String(error)),
          ),
        ),
      ),
    tellStore: outage.tellStore,
    async stop() {
      await leases.close();
      await connection.close();
    },
  };
}

export const countOf = (outcomes: readonly string[], outcome: string) =>
  outcomes.filter((each) => each === outcome).length;
