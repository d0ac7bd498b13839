import { isDependencyError } from '../dependency-error.ts';
import type { TakeBlock } from './block.ts';
import { createKnownClaims, type KnownClaim } from './known-claims.ts';
import {
  type Account,
  blockSize,
  createAccounts,
  type Held,
  learn,
  recallDenial,
  rememberDenial,
  spendable,
  spentDecision,
  takeHeld,
} from './lease-account.ts';
import { createHoldings, type LeaseEvent, rethrow } from './lease-holdings.ts';
import { createShapeOf } from './lease-shape.ts';
import type { Claim, Consume, Decision } from './limit.ts';
import type { Settle, Settled, Settlement } from './settlement.ts';

export interface LeasesOptions {
  readonly consume: Consume;
  readonly takeBlock: TakeBlock;
  readonly settle: Settle;
  /** A fresh id that no other process makes. */
  readonly newId: () => string;
  /** Epoch milliseconds; the clock of the claims' deadlines. */
  readonly now: () => number;
  /** Milliseconds from any start; a clock that is never set. */
  readonly elapsed: () => number;
  /** Slots at least so long are worth a lease, in milliseconds. Default 500. */
  readonly leastSlotMs?: number;
  /** Requests of one block, each time. */
  readonly onLease?: (event: LeaseEvent, requests: number) => void;
}

export interface Leases {
  readonly consume: Consume;
  readonly settle: Settle;
  /** The store may have forgotten what it had charged: nothing of that may be spent any more. */
  readonly drop: () => void;
  /** Gives everything back and takes nothing any more. Resolves when the store was told, or can not be. */
  readonly close: () => Promise<void>;
}

/** The longest life of a block; its slots may be over sooner. */
const lifeMs = 2000;
/** A subject that says nothing for so long is not busy, and what it holds goes back. */
const idleMs = 100;
const mostWanted = 2 ** 20;
/** How often a request waits for a block before it asks by itself. */
const mostRounds = 10;
const claimTtlMs = 15_000;
const maxClaims = 50_000;
const maxAccounts = 20_000;
const aheadDeadlineMs = 1000;

/**
 * In front of a store: takes blocks of requests for busy subjects and lets requests pass from them without asking, and
 * remembers denials for a moment. Never more than a limit: a block was charged as of its end, and is not spent after it.
 * A block is a 32nd of what remains, at most; so is what other processes hold of a subject when one is denied.
 *
 * With a block in hand the answer is no promise. A claim is known by its id here: repeated at this process, it costs
 * nothing; repeated at another, it costs once more where it was let pass from a block.
 */
export function createLeases(options: LeasesOptions): Leases {
  const { consume: ask, takeBlock, now, elapsed, newId, onLease = () => undefined } = options;
  const shapeOf = createShapeOf(options.leastSlotMs ?? 500);
  const known = createKnownClaims({ ttlMs: claimTtlMs, maxClaims });
  const accountOf = createAccounts(maxAccounts);
  const holdings = createHoldings({ settle: options.settle, elapsed, idleMs, onLease });
  const { hold, finish, giveBack } = holdings;
  const underWay = new Set<Promise<unknown>>();
  let isClosed = false;
  let generation = 0;

  function spend(account: Account, held: Held, claim: Claim, nowMs: number): Decision {
    held.left -= 1;
    const decision = spentDecision(held, nowMs);
    if (claim.id !== '') known.rememberSpent(held, claim.id);
    if (held.left * 4 <= held.size && account.next === undefined) takeAhead(account, nowMs);
    if (held.left === 0) finish(account, held).catch(rethrow);
    return decision;
  }

  function take(account: Account, size: number, deadlineAtMs: number): Promise<Held | undefined> {
    const done = takeAndHold(account, size, deadlineAtMs).finally(() => {
      account.taking = undefined;
      underWay.delete(done);
    });
    account.taking = done;
    underWay.add(done);
    return done;
  }

  async function takeAndHold(
    account: Account,
    size: number,
    deadlineAtMs: number,
  ): Promise<Held | undefined> {
    const takenIn = generation;
    const held = await takeHeld(account, {
      takeBlock,
      id: newId(),
      size,
      deadlineAtMs,
      aheadMs: lifeMs,
      elapsed,
    });
    if (held === undefined) return undefined;
    onLease('taken', size);
    if (takenIn !== generation) onLease('stranded', size);
    else if (isClosed || elapsed() >= held.endsAtMs) await giveBack(held, size);
    else {
      account.want = Math.min(account.want * 2, mostWanted);
      hold(account, held);
      return held;
    }
    return undefined;
  }

  function takeAhead(account: Account, nowMs: number): void {
    const size = blockSize(account);
    if (isClosed || size === 0 || account.taking !== undefined || nowMs < account.aheadAtMs) return;
    account.aheadAtMs = nowMs + idleMs;
    take(account, size, now() + aheadDeadlineMs).then(
      (held) => void (held !== undefined && (account.aheadAtMs = 0)),
      ignoreDependency,
    );
  }

  async function plain(account: Account, claim: Claim): Promise<Decision> {
    const decision = await ask(claim);
    learn(account, decision.windows);
    if (!decision.admitted) rememberDenial(account, decision, elapsed());
    return decision;
  }

  /** As plain; those that come meanwhile wait for what it tells of the room there is. */
  function first(account: Account, claim: Claim): Promise<Decision> {
    const asked = plain(account, claim);
    const done = asked.then(nothing).finally(() => (account.taking = undefined));
    done.catch(nothing);
    account.taking = done;
    return asked;
  }

  /** From a block, in hand or to be taken, or without. A busy subject has one call under way at a time. */
  async function decide(account: Account, claim: Claim, isBusy: boolean): Promise<Decision> {
    account.want = isBusy ? Math.max(2, account.want) : 1;
    const rounds = isBusy ? mostRounds : 0;
    for (let round = 0; round < rounds; round += 1) {
      const nowMs = elapsed();
      const held = spendable(account, nowMs);
      if (held !== undefined) return spend(account, held, claim, nowMs);
      const denial = recallDenial(account, nowMs);
      if (denial !== undefined) return denial;
      const size = isClosed ? 0 : blockSize(account);
      if (account.taking !== undefined) await waitFor(account);
      else if (size > 0) await take(account, size, claim.deadlineAtMs);
      else return first(account, claim);
    }
    return plain(account, claim);
  }

  async function waitFor(account: Account): Promise<void> {
    account.queued += 1;
    try {
      await account.taking;
    } finally {
      // One by one, so that the first of them sees how many others want the same.
      account.queued -= 1;
    }
  }

  function remembered(account: Account, claim: Claim, isBusy: boolean): Promise<Decision> {
    const { subject, id } = claim;
    const deciding = decide(account, claim, isBusy);
    if (id === '') return deciding;
    const entry = known.remember(subject, id, deciding);
    return deciding.then(
      (decision) => {
        // A leased one has remembered itself meanwhile.
        if (known.find(subject, id) === entry) {
          if (decision.admitted) entry.answer = decision;
          else known.forget(id);
        }
        return decision;
      },
      (error: unknown) => {
        known.forget(id);
        throw error;
      },
    );
  }

  function consume(claim: Claim): Decision | Promise<Decision> {
    const { subject, id, charges } = claim;
    const shape = shapeOf(charges);
    if (!shape.isRequestsOnly) return ask(claim);
    const nowMs = elapsed();
    known.tick(nowMs);
    const before = id === '' ? undefined : known.find(subject, id);
    if (before !== undefined) return answerAgain(before, nowMs);
    const account = accountOf(charges, subject, shape);
    const isBusy = shape.isLeasable && nowMs - account.lastAtMs < idleMs;
    account.lastAtMs = nowMs;
    const held = spendable(account, nowMs);
    if (held !== undefined) return spend(account, held, claim, nowMs);
    return recallDenial(account, nowMs) ?? remembered(account, claim, isBusy);
  }

  function settle(settlement: Settlement): Settled | Promise<Settled> {
    const claim = known.find(settlement.subject, settlement.id);
    if (claim === undefined || settlement.used !== 'nothing') return options.settle(settlement);
    if (claim.isRepeated || claim.isTakenBack) return 'unknown';
    claim.isTakenBack = true;
    if (claim.held === undefined) return options.settle(settlement);
    // Back to the block, if that is still there.
    if (claim.held.left > 0) claim.held.left += 1;
    return 'settled';
  }

  return {
    consume,
    settle,
    drop() {
      generation += 1;
      holdings.drop();
    },
    async close() {
      isClosed = true;
      await Promise.allSettled(underWay);
      await holdings.giveAllBack();
    },
  };
}

function answerAgain(claim: KnownClaim, nowMs: number): Decision | Promise<Decision> {
  claim.isRepeated = true;
  if (claim.isTakenBack) return takenBack;
  if (claim.held !== undefined) return spentDecision(claim.held, nowMs);
  return claim.answer ?? takenBack;
}

const takenBack: Decision = { admitted: false, windows: [], retryAfterMs: 0 };

function nothing(): undefined {
  return undefined;
}

function ignoreDependency(error: unknown): void {
  if (!isDependencyError(error)) throw error;
}
