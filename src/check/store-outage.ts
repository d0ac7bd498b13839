import { isDependencyError } from '../dependency-error.ts';
import type { OnStoreUnavailable } from '../policy/policy.ts';
import type { Charge, Claim, Consume, Decision } from './limit.ts';
import { createLocalShare } from './local-share.ts';
import type { ReservationNames } from './reservation.ts';
import type { Settle, Settled, SettleTokens } from './settlement.ts';
import { createUntold } from './untold.ts';

/** What a claim got while the store was away. */
export type OutageAnswer = 'local_admitted' | 'local_denied' | 'allowed' | 'denied';

export interface StoreOutageOptions {
  readonly store: Consume;
  readonly settle: Settle;
  readonly settleTokens: SettleTokens;
  /** Charges what was let pass meanwhile; its ids are to be known for `tellAgainMs` at least. */
  readonly tell: Consume;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** By how many a limit is divided while each process counts alone: replicas × workers. */
  readonly processes: number;
  readonly reservationNames: ReservationNames;
  readonly reservationTtlMs: number;
  /** For claims that do not say. */
  readonly onStoreUnavailable: OnStoreUnavailable;
  /** A fresh id that no other process makes. */
  readonly newId: () => string;
  readonly onAnswer: (answer: OutageAnswer) => void;
  /** Units of one counter that the store was told of afterwards. */
  readonly onTold: (units: number) => void;
}

export interface StoreOutage {
  readonly consume: Consume;
  /**
   * What was charged here while the store was away is settled here; the store was told, or will be, of what was
   * charged at first.
   */
  readonly settle: Settle;
  readonly settleTokens: SettleTokens;
  /**
   * Tells the store what it does not know yet, some subjects at a time. To be called now and then, and at the end.
   * Resolves to whether nothing is left to tell.
   */
  readonly tellStore: () => Promise<boolean>;
}

/** How long the store may be in doubt whether it was told, in milliseconds. */
export const tellAgainMs = 600_000;

/** Kept back from the store, so that its time-out leaves time for the policy that takes its place. */
const policyMarginMs = 5;
const tellDeadlineMs = 2000;
const toldAtOnce = 200;

interface Message {
  readonly subject: string;
  readonly id: string;
  readonly charges: readonly Charge[];
  readonly sinceMs: number;
}

/**
 * The store with what holds while it can not be asked: `deny` throws on, `allow` admits, `local` counts in this process
 * alone and tells the store afterwards, once, under an id of its own. A claim that timed out may have been charged; it
 * is decided here all the same, and so may be charged twice, never be let pass uncounted.
 *
 * The local counters outlive an outage: a store that comes and goes does not give anybody a share anew. So in any window
 * no more passes than the limit counted here, and the limit that the store has counted before and after: twice the limit
 * at most.
 */
export function createStoreOutage(options: StoreOutageOptions): StoreOutage {
  const { store, tell, settle, settleTokens, now, newId, onAnswer, onTold } = options;
  const local = createLocalShare(options);
  const untold = createUntold({ now });
  /** Told, and nobody knows whether it was heard. */
  const inDoubt: Message[] = [];
  let isAway = false;

  function without(claim: Claim, error: unknown): Decision {
    if (!isDependencyError(error)) throw error;
    isAway = true;
    const policy = claim.onStoreUnavailable ?? options.onStoreUnavailable;
    if (policy === 'local') return locally(claim);
    onAnswer(policy === 'allow' ? 'allowed' : 'denied');
    if (policy === 'deny') throw error;
    return { admitted: true, windows: [], retryAfterMs: undefined };
  }

  function locally(claim: Claim): Decision {
    let decision: Decision;
    try {
      decision = local.consume(claim);
    } catch (error) {
      onAnswer('denied');
      throw error;
    }
    if (decision.admitted) untold.add(claim);
    onAnswer(decision.admitted ? 'local_admitted' : 'local_denied');
    return decision;
  }

  function back(): void {
    if (!isAway) return;
    isAway = false;
    tellStore().catch(() => undefined);
  }

  /** Resolves to whether it was heard. */
  async function send(message: Message): Promise<boolean> {
    const { subject, id, sinceMs } = message;
    const ageMs = now() - sinceMs;
    const charges = message.charges.filter(({ window }) => window.windowMs > ageMs);
    if (charges.length === 0 || ageMs > tellAgainMs) return true;
    try {
      await tell({ subject, id, charges, deadlineAtMs: now() + tellDeadlineMs });
      isAway = false;
      onTold(charges.reduce((sum, { cost }) => sum + cost, 0));
      return true;
    } catch (error) {
      inDoubt.push(message);
      if (!isDependencyError(error)) throw error;
      return false;
    }
  }

  function tellOf(subject: string): Promise<boolean> {
    const charges = untold.take(subject);
    if (charges === undefined) return Promise.resolve(true);
    return send({ subject, id: newId(), charges, sinceMs: now() });
  }

  async function tellStore(): Promise<boolean> {
    // One word shows whether anybody listens.
    const atOnce = isAway ? 1 : toldAtOnce;
    const sending = inDoubt.splice(0, atOnce).map(send);
    for (const subject of untold.subjects()) {
      if (sending.length >= atOnce) break;
      sending.push(tellOf(subject));
    }
    const heard = await Promise.all(sending);
    if (heard.includes(false)) return false;
    const [another] = untold.subjects();
    return another === undefined && inDoubt.length === 0;
  }

  return {
    consume(claim) {
      let decision: Decision | Promise<Decision>;
      try {
        // On its way before the claim, by the same connection: the store counts it first.
        if (!isAway && untold.has(claim.subject)) tellOf(claim.subject).catch(() => undefined);
        decision = store({ ...claim, deadlineAtMs: claim.deadlineAtMs - policyMarginMs });
      } catch (error) {
        return without(claim, error);
      }
      if (!(decision instanceof Promise)) return decision;
      return decision.then(
        (decided) => {
          back();
          return decided;
        },
        (error: unknown) => without(claim, error),
      );
    },
    settle(settlement) {
      if (local.settle(settlement) === 'unknown') return settle(settlement);
      return alsoAtStore(() => settle(settlement));
    },
    settleTokens(reservation, used) {
      if (local.settleTokens(reservation, used) === 'unknown') return settleTokens(reservation, used);
      return alsoAtStore(() => settleTokens(reservation, used));
    },
    tellStore,
  };
}

/** What timed out may have been charged there as well; nobody waits for that. */
function alsoAtStore(settleThere: () => Settled | Promise<Settled>): Settled {
  Promise.resolve().then(settleThere).catch(ignoreDependency);
  return 'settled';
}

function ignoreDependency(error: unknown): void {
  if (!isDependencyError(error)) throw error;
}
