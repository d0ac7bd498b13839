import { isDependencyError } from '../dependency-error.ts';
import type { TakeBlock } from './block.ts';
import { createKnownClaims } from './known-claims.ts';
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
import { createShapeOf } from './lease-shape.ts';
import type { Claim, Consume, Decision } from './limit.ts';
import type { Settle, Settled, Settlement } from './settlement.ts';

/**
 * What becomes of requests that are charged ahead: `taken` first; then `spent`, `returned` to the store, or `stranded`:
 * charged until their window is over, and of no use to anybody.
 */
export type LeaseEvent = 'taken' | 'spent' | 'returned' | 'stranded';

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
const sweepMs = 50;
const mostWanted = 2 ** 20;
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
  const known = createKnownClaims({ elapsed, ttlMs: claimTtlMs, maxClaims });
  const accountOf = createAccounts(maxAccounts);
  const holding = new Set<Account>();
  const underWay = new Set<Promise<unknown>>();
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  let generation = 0;

  function spend(account: Account, held: Held, claim: Claim, nowMs: number): Decision {
    const { subject, id } = claim;
    held.left -= 1;
    const decision = spentDecision(held, nowMs);
    if (id !== '') known.remember({ subject, id }, decision, () => void (held.left += held.left > 0 ? 1 : 0));
    if (held.left * 4 <= held.size && account.next === undefined) takeAhead(account, nowMs);
    if (held.left === 0) finish(account, held).catch(rethrow);
    return decision;
  }

  /** The block is empty, over, or no longer wanted. */
  function finish(account: Account, held: Held): Promise<void> {
    if (account.held === held) {
      account.held = account.next;
      account.next = undefined;
    } else if (account.next === held) account.next = undefined;
    if (account.held === undefined) holding.delete(account);
    const { left } = held;
    held.left = 0;
    onLease('spent', held.size - left);
    if (left * 2 > held.size) account.want = Math.max(1, account.want / 2);
    return left === 0 ? Promise.resolve() : giveBack(held, left);
  }

  async function giveBack({ subject, id, size, shape }: Held, left: number): Promise<void> {
    try {
      const settled = await options.settle({ subject, id, used: { requests: (size - left) * shape.cost } });
      onLease(settled === 'settled' ? 'returned' : 'stranded', left);
    } catch (error) {
      onLease('stranded', left);
      if (!isDependencyError(error)) throw error;
    }
  }

  function sweep(): void {
    const nowMs = elapsed();
    for (const account of holding) {
      const isIdle = nowMs - account.lastAtMs >= idleMs;
      for (const held of [account.held, account.next]) {
        if (held !== undefined && (isIdle || nowMs >= held.endsAtMs)) finish(account, held).catch(rethrow);
      }
    }
    if (holding.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  function take(account: Account, size: number, deadlineAtMs: number): Promise<Held | undefined> {
    const done = takeAndHold(account, size, deadlineAtMs).finally(() => {
      account.taking = undefined;
      underWay.delete(done);
    });
    account.taking = { size, waiting: 1, done };
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

  function hold(account: Account, held: Held): void {
    for (const over of [account.held, account.next]) {
      if (over !== undefined && elapsed() >= over.endsAtMs) finish(account, over).catch(rethrow);
    }
    if (account.held === undefined) account.held = held;
    else account.next = held;
    holding.add(account);
    timer ??= setInterval(sweep, sweepMs).unref();
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

  /** By a block that is on its way, a block of its own, or without. */
  async function decide(account: Account, claim: Claim, isBusy: boolean): Promise<Decision> {
    const { taking } = account;
    if (taking !== undefined && taking.waiting < taking.size) {
      taking.waiting += 1;
      await taking.done;
    } else {
      const size = isBusy && taking === undefined && !isClosed ? blockSize(account) : 0;
      if (size === 0) {
        account.want = isBusy ? Math.max(2, account.want) : 1;
        return plain(account, claim);
      }
      await take(account, size, claim.deadlineAtMs);
    }
    const nowMs = elapsed();
    const held = spendable(account, nowMs);
    return held === undefined ? plain(account, claim) : spend(account, held, claim, nowMs);
  }

  function remembered(account: Account, claim: Claim, isBusy: boolean): Promise<Decision> {
    const { subject, id } = claim;
    const deciding = decide(account, claim, isBusy);
    if (id === '') return deciding;
    const entry = known.remember({ subject, id }, deciding);
    return deciding.then(
      (decision) => {
        // A leased one has remembered itself meanwhile.
        if (known.find(subject, id) === entry) {
          if (decision.admitted) entry.answer = decision;
          else known.forget(subject, id);
        }
        return decision;
      },
      (error: unknown) => {
        known.forget(subject, id);
        throw error;
      },
    );
  }

  function consume(claim: Claim): Decision | Promise<Decision> {
    const { subject, id, charges } = claim;
    const shape = shapeOf(charges);
    if (!shape.isRequestsOnly) return ask(claim);
    const before = id === '' ? undefined : known.find(subject, id);
    if (before !== undefined) {
      before.isRepeated = true;
      return before.isTakenBack ? takenBack : before.answer;
    }
    const account = accountOf(charges, subject, shape);
    const nowMs = elapsed();
    const isBusy = shape.isLeasable && nowMs - account.lastAtMs < idleMs;
    account.lastAtMs = nowMs;
    const held = spendable(account, nowMs);
    if (held !== undefined) return spend(account, held, claim, nowMs);
    return recallDenial(account, nowMs) ?? remembered(account, claim, isBusy);
  }

  function settle(settlement: Settlement): Settled | Promise<Settled> {
    const { subject, id, used } = settlement;
    const claim = known.find(subject, id);
    if (claim?.giveBack === undefined) {
      known.forget(subject, id);
      return options.settle(settlement);
    }
    if (used !== 'nothing' || claim.isRepeated || claim.isTakenBack) return 'unknown';
    claim.isTakenBack = true;
    claim.giveBack();
    return 'settled';
  }

  function drop(): void {
    generation += 1;
    for (const account of holding) {
      for (const held of [account.held, account.next]) {
        if (held === undefined) continue;
        onLease('spent', held.size - held.left);
        onLease('stranded', held.left);
        held.left = 0;
      }
      account.held = undefined;
      account.next = undefined;
    }
    holding.clear();
  }

  async function close(): Promise<void> {
    isClosed = true;
    await Promise.allSettled(underWay);
    clearInterval(timer);
    const finishing = [...holding].flatMap((account) =>
      [account.held, account.next].flatMap((held) => (held === undefined ? [] : [finish(account, held)])),
    );
    await Promise.all(finishing);
  }

  return { consume, settle, drop, close };
}

const takenBack: Decision = { admitted: false, windows: [], retryAfterMs: 0 };

function ignoreDependency(error: unknown): void {
  if (!isDependencyError(error)) throw error;
}

/** A bug, and so the end of the process: nobody waits for this promise. */
function rethrow(error: unknown): never {
  throw error;
}
