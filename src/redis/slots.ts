import { createSecretKey } from 'node:crypto';
import { createKeyedHash, formatKeyedId, parseKeyedId, randomName } from '../check/keyed-id.ts';
import { lookedAt, type Released, type SlotAnswer, type SlotClaim, type Slots } from '../check/slot.ts';
import { DependencyError } from '../dependency-error.ts';
import type { Secret } from '../secret.ts';
import type { RedisConnection } from './connection.ts';
import { createKeyspace, slotsKey } from './keys.ts';
import { countScript, releaseScript, takeScript, takeStatus } from './slot-script.ts';
import { lateReply, within } from './within.ts';

export interface RedisSlotsOptions {
  readonly connection: RedisConnection;
  /** See RedisConsumeOptions. */
  readonly keySecret: Secret;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** How long a slot is held whose release never comes, in milliseconds: longer than any request. */
  readonly leaseMs: number;
  /** The longest wait for an answer to a claim, in milliseconds, if its own deadline is not earlier. Default 50. */
  readonly commandTimeoutMs?: number;
  /** The same for the end of a slot, for which nobody waits. Default 1000. */
  readonly releaseTimeoutMs?: number;
}

/**
 * Implements Slots on Redis, each port one script call. A claim that was given up while its answer was under way is given
 * back when the answer comes; where it never comes, the lease ends it.
 */
export function createRedisSlots(options: RedisSlotsOptions): Slots {
  const { connection, now, leaseMs, commandTimeoutMs = 50, releaseTimeoutMs = 1000 } = options;
  const { tagOf } = createKeyspace(options.keySecret);
  const hash = createKeyedHash(createSecretKey(Buffer.from(options.keySecret.reveal())));
  const take = connection.script(takeScript);
  const release = connection.script(releaseScript);
  const count = connection.script(countScript);

  /** The same for the same request in every process, and nobody's to guess: 132 bits of a keyed hash. */
  function nameOf(id: string): string {
    if (id === '') return randomName();
    return hash(`slot\0${id}`);
  }

  async function end(id: string, attempt?: number): Promise<Released> {
    const slot = parseKeyedId(id);
    if (slot === undefined) return 'unknown';
    const args = attempt === undefined ? [slot.name] : [slot.name, String(attempt)];
    const reply = await within(releaseTimeoutMs, release([slotsKey(slot.tag)], args));
    return reply === 1 ? 'released' : 'unknown';
  }

  return {
    take({ subject, id, limit = -1, deadlineAtMs }: SlotClaim) {
      const sentAtMs = now();
      const endsAtMs = Math.min(deadlineAtMs, sentAtMs + commandTimeoutMs);
      if (endsAtMs <= sentAtMs) throw lateReply('no time left');
      const tag = tagOf(subject);
      const clock = connection.clockOf(tag);
      const notAfterUs = clock.serverUs(endsAtMs);
      if (notAfterUs === undefined) {
        const { fault } = connection.state();
        throw fault ?? new DependencyError('redis', 'unreachable', { detail: 'not connected yet' });
      }
      const name = nameOf(id);
      const args = [String(notAfterUs), String(leaseMs * 1000), String(limit), name];
      const answered = take([slotsKey(tag)], args).then((reply) => {
        const { serverUs, answer } = readReply(reply, formatKeyedId({ tag, name }));
        clock.observe(sentAtMs, serverUs, now());
        return answer;
      });
      return within(endsAtMs - sentAtMs, answered).catch((error: unknown) => {
        answered
          .then(({ slot }) => slot && end(slot.id, slot.attempt))
          // Nobody waits for it any more, and the lease ends it.
          .catch(() => undefined);
        throw error;
      });
    },
    async look({ subject, limit, deadlineAtMs }: SlotClaim) {
      const leftMs = Math.min(deadlineAtMs - now(), commandTimeoutMs);
      if (leftMs <= 0) throw lateReply('no time left');
      const open = await within(leftMs, count([slotsKey(tagOf(subject))], []));
      if (typeof open !== 'number') {
        throw new DependencyError('redis', 'malformed', { detail: 'reply of the script' });
      }
      return lookedAt(open, limit);
    },
    release: (id) => end(id),
    giveBack: ({ id, attempt }) => end(id, attempt),
  };
}

function readReply(reply: unknown, id: string): { readonly serverUs: number; readonly answer: SlotAnswer } {
  const [status, serverUs, leaseEnd, open]: readonly unknown[] = Array.isArray(reply) ? reply : [];
  if (status === takeStatus.late) throw lateReply('it ran after its deadline and took nothing');
  if (typeof serverUs !== 'number' || typeof open !== 'number' || typeof leaseEnd !== 'string') {
    throw new DependencyError('redis', 'malformed', { detail: 'reply of the script' });
  }
  if (status === takeStatus.refused) return { serverUs, answer: { taken: false, slot: undefined, open } };
  return { serverUs, answer: { taken: true, slot: { id, attempt: Number(leaseEnd) }, open } };
}
