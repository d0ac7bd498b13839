import type { WindowUnit } from '../policy/policy.ts';
import type { Reservation } from './reservation.ts';
import { settledTtlMs } from './settlement.ts';
import type { ChargedSlot } from './window.ts';

/** What a claim was charged to one counter. */
export interface ChargedCounter {
  readonly name: string;
  readonly unit: WindowUnit;
  readonly lengthUs: number;
  readonly slot: ChargedSlot;
}

/** What a claim was charged, and to whom. */
export interface ChargedClaim {
  readonly subject: string;
  readonly charged: readonly ChargedCounter[];
  /** Where what was charged are tokens that may turn out to be others. */
  readonly reservation: Reservation | undefined;
}

/** What is known of a claim by its id: its charges or, once they were settled, no more than that. */
type MemoryRecord = ChargedClaim | 'settled' | 'takenBack';

export interface MemoryRecordsOptions {
  readonly recordTtlMs: number;
  readonly maxRecords: number;
}

export interface MemoryRecords {
  /** `whose`: the subject, or whatever stands for it in all of these. */
  readonly find: (whose: string, id: string) => MemoryRecord | undefined;
  /** The claim came again: two rely on it, and neither can take it back. */
  readonly rely: (whose: string, id: string) => void;
  readonly remember: (whose: string, id: string, claim: ChargedClaim, nowMs: number) => void;
  /** Its charges, no longer known from now on; undefined: there is nothing to settle. Of a reservation the others stay known. */
  readonly settle: (
    whose: string,
    id: string,
    how: 'settled' | 'takenBack',
    nowMs: number,
  ) => ChargedClaim | undefined;
  /** Where a reservation of that name stands besides, settled or not. */
  readonly othersOf: (whose: string, id: string) => readonly string[];
  readonly forgetExpired: (nowMs: number) => void;
}

interface Kept {
  readonly record: MemoryRecord;
  readonly others: readonly string[];
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
    find(whose, id) {
      const name = recordName(whose, id);
      return (settled.get(name) ?? charged.get(name))?.record;
    },
    remember: (whose, id, record, nowMs) =>
      add(charged, recordName(whose, id), {
        record,
        others: record.reservation?.others ?? [],
        expiresAtMs: nowMs + recordTtlMs,
      }),
    rely(whose, id) {
      const name = recordName(whose, id);
      const kept = charged.get(name);
      if (kept !== undefined) charged.set(name, { ...kept, isReliedOn: true });
    },
    settle(whose, id, how, nowMs) {
      const name = recordName(whose, id);
      const kept = charged.get(name);
      if (kept === undefined || typeof kept.record === 'string') return undefined;
      if (how === 'takenBack' && kept.isReliedOn === true) return undefined;
      charged.delete(name);
      add(settled, name, { record: how, others: kept.others, expiresAtMs: nowMs + settledTtlMs });
      return kept.record;
    },
    othersOf(whose, id) {
      const name = recordName(whose, id);
      return (settled.get(name) ?? charged.get(name))?.others ?? [];
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

/** Prefixed by the first's length: no two can be taken for another two. */
function recordName(whose: string, id: string): string {
  return `${whose.length}:${whose}${id}`;
}
