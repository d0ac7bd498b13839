import {
  type Settle,
  type SettleTokens,
  type Settled,
  type Settlement,
  settledTtlMs,
  unitsUsed,
} from '../check/settlement.ts';
import { DependencyError } from '../dependency-error.ts';
import type { Secret } from '../secret.ts';
import type { RedisConnection } from './connection.ts';
import { createKeyspace, recordKey } from './keys.ts';
import { settleScript, settleStatus } from './settle-script.ts';
import { lateReply, within } from './within.ts';

export interface RedisSettleOptions {
  readonly connection: RedisConnection;
  /** See RedisConsumeOptions. */
  readonly keySecret: Secret;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Nobody waits for a settlement: longer than that of a claim. Default 1000. */
  readonly commandTimeoutMs?: number;
}

export interface RedisSettlements {
  readonly settle: Settle;
  /**
   * One script call where the tokens are one subject's; where they are a team's or a model's too, their records are
   * found by the first one, and settled after it at once.
   */
  readonly settleTokens: SettleTokens;
}

interface Reply {
  readonly settled: Settled;
  /** Hash tags of the other records of the same name. */
  readonly others: readonly string[];
}

/**
 * Settlements on Redis. They throw DependencyError as createRedisConsume does: after a `timeout` or `unreachable` the
 * claim may be settled, and is not after the deadline, which is passed on in the server's time.
 */
export function createRedisSettlements(options: RedisSettleOptions): RedisSettlements {
  const { connection, now, commandTimeoutMs = 1000 } = options;
  const { tagOf } = createKeyspace(options.keySecret);
  const run = connection.script(settleScript);

  async function settleRecord(tag: string, id: string, used: Settlement['used']): Promise<Reply> {
    const sentAtMs = now();
    const notAfterUs = connection.clockOf(tag).serverUs(sentAtMs + commandTimeoutMs);
    if (notAfterUs === undefined) {
      const { fault } = connection.state();
      throw fault ?? new DependencyError('redis', 'unreachable', { detail: 'not connected yet' });
    }
    const args = [String(notAfterUs), ...settleArgs(used)];
    return readReply(await within(commandTimeoutMs, run([recordKey(tag, id)], args)));
  }

  return {
    settle: async ({ subject, id, used }) => (await settleRecord(tagOf(subject), id, used)).settled,
    async settleTokens({ tag, name }, used) {
      const first = await settleRecord(tag, name, used);
      if (first.others.length === 0) return first.settled;
      const others = await Promise.all(first.others.map((other) => settleRecord(other, name, used)));
      return [first, ...others].some(({ settled }) => settled === 'settled') ? 'settled' : 'unknown';
    },
  };
}

const units = ['requests', 'tokens', 'inputTokens', 'outputTokens'] as const;

function settleArgs(used: Settlement['used']): readonly string[] {
  return [
    used === 'nothing' ? '3' : '2',
    String(settledTtlMs),
    ...units.map((unit) => String(unitsUsed(used, unit) ?? -1)),
  ];
}

function readReply(reply: unknown): Reply {
  const [status, , header]: readonly unknown[] = Array.isArray(reply) ? reply : [];
  if (status === settleStatus.late) throw lateReply('it ran after its deadline and settled nothing');
  if (typeof header !== 'string' || (status !== settleStatus.settled && status !== settleStatus.unknown)) {
    throw new DependencyError('redis', 'malformed', { detail: 'reply of the script' });
  }
  const [, ...others] = header.split(' ');
  return { settled: status === settleStatus.settled ? 'settled' : 'unknown', others };
}
