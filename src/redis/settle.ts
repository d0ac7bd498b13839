import { type Settle, type Settlement, settledTtlMs, usedOf } from '../check/settlement.ts';
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

/**
 * Implements Settle on Redis: one script call. Throws DependencyError as createRedisConsume does: after a `timeout` or
 * `unreachable` the claim may be settled, and is not after the deadline, which is passed on in the server's time.
 */
export function createRedisSettle(options: RedisSettleOptions): Settle {
  const { connection, now, commandTimeoutMs = 1000 } = options;
  const { tagOf } = createKeyspace(options.keySecret);
  const run = connection.script(settleScript);

  return async (settlement) => {
    const tag = tagOf(settlement.subject);
    const sentAtMs = now();
    const notAfterUs = connection.clockOf(tag).serverUs(sentAtMs + commandTimeoutMs);
    if (notAfterUs === undefined) {
      const { fault } = connection.state();
      throw fault ?? new DependencyError('redis', 'unreachable', { detail: 'not connected yet' });
    }
    const args = [String(notAfterUs), ...settleArgs(settlement)];
    const reply = await within(commandTimeoutMs, run([recordKey(tag, settlement.id)], args));
    const status: unknown = Array.isArray(reply) ? reply[0] : undefined;
    if (status === settleStatus.late) throw lateReply('it ran after its deadline and settled nothing');
    if (status === settleStatus.settled) return 'settled';
    if (status === settleStatus.unknown) return 'unknown';
    throw new DependencyError('redis', 'malformed', { detail: 'reply of the script' });
  };
}

const units = ['requests', 'tokens', 'inputTokens', 'outputTokens'] as const;

function settleArgs(settlement: Settlement): readonly string[] {
  return [
    settlement.used === 'nothing' ? '3' : '2',
    String(settledTtlMs),
    ...units.map((unit) => String(usedOf(settlement, unit) ?? -1)),
  ];
}
