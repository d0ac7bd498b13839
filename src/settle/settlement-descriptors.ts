import type { MetadataScalar } from '../check/check-input.ts';
import type { RequestEnd } from './request-end.ts';
import { usageFromCounts, type UsageName, usageNames } from './usage.ts';

/** A descriptor of a call that Envoy's ratelimit filter makes when a stream is done (`apply_on_stream_done`). */
export interface SettlementDescriptor {
  readonly entries: readonly { readonly key: string; readonly value: string }[];
  /** `hits_addend`; undefined where there is none. */
  readonly units: number | undefined;
  /** `is_negative_hits`: asks for units to be given back. */
  readonly isRefund: boolean;
}

/** Why a call that names a reservation settles nothing; for operators. */
export type SettlementFault = 'entry_unknown' | 'entry_repeated' | 'reservation_mixed';

/** Whether a call is about the end of a request, and not about whether one may begin. */
export function isSettlement(descriptors: readonly Pick<SettlementDescriptor, 'entries'>[]): boolean {
  return descriptors.some(({ entries }) => entries.some(({ key }) => key === 'reservation'));
}

/** What `usage` may say besides the names of usage; `reserved` is what Check charged, which is known here better. */
const otherWords = new Set(['status', 'response_bytes', 'reserved']);
const names: ReadonlySet<string> = new Set(usageNames);

/**
 * Each descriptor names the reservation, and what its units are (`usage`). What is asked to be given back is not: a refund
 * without a charge settles nothing, and one beside a charge is the difference, which the reservation's record knows.
 */
export function endFromDescriptors(
  descriptors: readonly SettlementDescriptor[],
): RequestEnd | SettlementFault {
  const units = new Map<string, number>();
  let reservationId: string | undefined;
  for (const { entries, units: said, isRefund } of descriptors) {
    const values = new Map(entries.map(({ key, value }) => [key, value]));
    if (values.size < entries.length) return 'entry_repeated';
    const id = values.get('reservation');
    const word = values.get('usage');
    if (word === undefined || values.size > 2 || !(names.has(word) || otherWords.has(word)))
      return 'entry_unknown';
    if (id === undefined || (reservationId ?? id) !== id) return 'reservation_mixed';
    reservationId = id;
    if (isRefund || said === undefined) continue;
    if (units.has(word)) return 'entry_repeated';
    units.set(word, said);
  }
  const granted = new Map<string, MetadataScalar>([['reservation_id', reservationId ?? '']]);
  return {
    granted,
    usage: usageFromCounts((name: UsageName) => units.get(name)),
    status: units.get('status'),
    responseBytes: units.get('response_bytes') ?? 0,
  };
}
