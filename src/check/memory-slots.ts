import { randomBytes } from 'node:crypto';
import { DependencyError } from '../dependency-error.ts';
import { createKeyedHash, formatKeyedId, parseKeyedId, randomName } from './keyed-id.ts';
import { lookedAt, type Released, type SlotAnswer, type SlotClaim, type Slots } from './slot.ts';

export interface MemorySlotsOptions {
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** How long a slot is held whose release never comes, in milliseconds: longer than any request. */
  readonly leaseMs: number;
  /** Slots at a time, at most; a claim beyond it throws DependencyError `overloaded`. Default 100 000, about 20 MB. */
  readonly maxSlots?: number;
}

/** Synchronous. */
export interface MemorySlots extends Slots {
  readonly take: (claim: SlotClaim) => SlotAnswer;
  readonly look: (claim: SlotClaim) => SlotAnswer;
  readonly release: (id: string) => Released;
  /** Slots that a subject has open. */
  readonly openOf: (subject: string) => number;
}

interface Held {
  readonly attempt: number;
  readonly endsAtMs: number;
}

/** Subjects looked at for each claim, so that leases end without a timer. */
const sweptPerClaim = 2;

/** Slots in this process's memory: exact for one process, gone when it ends. */
export function createMemorySlots({ now, leaseMs, maxSlots = 100_000 }: MemorySlotsOptions): MemorySlots {
  const hash = createKeyedHash(randomBytes(32));
  const heldByTag = new Map<string, Map<string, Held>>();
  let attempts = 0;
  let size = 0;
  let sweep = heldByTag.entries();

  function dropEnded(tag: string, held: Map<string, Held>): void {
    const nowMs = now();
    for (const [name, { endsAtMs }] of held) {
      // A clock that was set back must not hold a slot for longer than its lease.
      if (endsAtMs > nowMs && endsAtMs <= nowMs + leaseMs) continue;
      if (endsAtMs > nowMs) held.set(name, { attempt: -1, endsAtMs: nowMs + leaseMs });
      else remove(tag, held, name);
    }
  }

  function remove(tag: string, held: Map<string, Held>, name: string): void {
    if (held.delete(name)) size -= 1;
    if (held.size === 0) heldByTag.delete(tag);
  }

  function sweepSome(): void {
    for (let count = 0; count < sweptPerClaim; count += 1) {
      const next = sweep.next();
      if (next.done === true) {
        sweep = heldByTag.entries();
        return;
      }
      dropEnded(...next.value);
    }
  }

  function end(id: string, attempt: number | undefined): Released {
    const { tag = '', name = '' } = parseKeyedId(id) ?? {};
    const held = heldByTag.get(tag);
    const slot = held?.get(name);
    if (held === undefined || slot === undefined) return 'unknown';
    if (attempt !== undefined && slot.attempt !== attempt) return 'unknown';
    remove(tag, held, name);
    return 'released';
  }

  function openOf(subject: string): number {
    const tag = hash(subject);
    const held = heldByTag.get(tag);
    if (held !== undefined) dropEnded(tag, held);
    return held?.size ?? 0;
  }

  return {
    take({ subject, id, limit, deadlineAtMs }) {
      const nowMs = now();
      if (nowMs > deadlineAtMs) throw new DependencyError('memory', 'timeout');
      sweepSome();
      const tag = hash(subject);
      const name = id === '' ? randomName() : hash(`slot\0${id}`);
      const known = heldByTag.get(tag);
      if (known !== undefined) dropEnded(tag, known);
      const held = heldByTag.get(tag) ?? new Map<string, Held>();
      const isNew = !held.has(name);
      if (isNew && limit !== undefined && held.size >= limit) {
        return { taken: false, slot: undefined, open: held.size };
      }
      if (isNew && size >= maxSlots) {
        throw new DependencyError('memory', 'overloaded', { detail: `${maxSlots} slots are taken` });
      }
      if (isNew) size += 1;
      attempts += 1;
      held.set(name, { attempt: attempts, endsAtMs: nowMs + leaseMs });
      heldByTag.set(tag, held);
      return { taken: true, slot: { id: formatKeyedId({ tag, name }), attempt: attempts }, open: held.size };
    },
    release: (id) => end(id, undefined),
    giveBack: ({ id, attempt }) => end(id, attempt),
    look: ({ subject, limit }) => lookedAt(openOf(subject), limit),
    openOf,
  };
}
