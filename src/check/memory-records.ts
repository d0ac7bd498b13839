import type { WindowUnit } from '../policy/policy.ts';
import { settledTtlMs } from './settlement.ts';
import type { ChargedSlot } from './window.ts';

/** What a claim was charged to one counter. */
export interface ChargedCounter {
  readonly name: string;
  readonly unit: WindowUnit;
  readonly lengthUs: number;
  readonly slot: ChargedSlot;
}

/** What is known of a claim by its id: its charges or, once they were settled, no more than that. */
export type MemoryRecord = readonly ChargedCounter[] | 'settled' | 'takenBack';

export interface MemoryRecordsOptions {
  readonly recordTtlMs: number;
  readonly maxRecords: number;
}

export interface MemoryRecords {
  readonly find: (subject: string, id: string) => MemoryRecord | undefined;
  /** The claim came again: two rely on it, and neither can take it back. */
  readonly rely: (subject: string, id: string) => void;
  readonly remember: (subject: string, id: string, charged: readonly ChargedCounter[], nowMs: number) => void;
  /** Its charges, no longer known from now on; undefined: there is nothing to settle. */
  readonly settle: (
    subject: string,
    id: string,
    how: 'settled' | 'takenBack',
    nowMs: number,
  ) => readonly ChargedCounter[] | undefined;
  readonly forgetExpired: (nowMs: number) => void;
}

interface Kept {
  readonly record: MemoryRecord;
  readonly isReliedOn?: boolean;
  readonly expiresAtMs: number;
}

/** Claims by subject and id, bounded in time and number; the oldest makes room. */
export function createMemoryRecords({ recordTtlMs, maxRecords }: MemoryRecordsOptions): MemoryRecords {
  /** Of each map, the order of insertion is that of expiry. */
  const charged = new Map<string, Kept>();
  const settled = new Map<string, Kept>();

  function add(to: Map<string, Kept>, name: string, kept: Kept): void {
    if (to.size >= maxRecords) {
      const [oldest] = to.keys();
      if (oldest !== undefined) to.delete(oldest);
    }
    to.set(name, kept);
  }

  return {
    find(subject, id) {
      const name = recordName(subject, id);
      return (settled.get(name) ?? charged.get(name))?.record;
    },
    remember: (subject, id, record, nowMs) =>
      add(charged, recordName(subject, id), { record, expiresAtMs: nowMs + recordTtlMs }),
    rely(subject, id) {
      const name = recordName(subject, id);
      const kept = charged.get(name);
      if (kept !== undefined) charged.set(name, { ...kept, isReliedOn: true });
    },
    settle(subject, id, how, nowMs) {
      const name = recordName(subject, id);
      const kept = charged.get(name);
      if (kept === undefined || typeof kept.record === 'string') return undefined;
      if (how === 'takenBack' && kept.isReliedOn === true) return undefined;
      charged.delete(name);
      add(settled, name, { record: how, expiresAtMs: nowMs + settledTtlMs });
      return kept.record;
    },
    forgetExpired(nowMs) {
      for (const map of [charged, settled]) {
        for (const [name, { expiresAtMs }] of map) {
          if (expiresAtMs > nowMs) break;
          map.delete(name);
        }
      }
    },
  };
}

/** Prefixed by the subject's length: no subject and id can be taken for another subject and id. */
function recordName(subject: string, id: string): string {
  return `${subject.length}:${subject}${id}`;
}
