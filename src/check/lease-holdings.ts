import { isDependencyError } from '../dependency-error.ts';
import type { Account, Held } from './lease-account.ts';
import type { Settle } from './settlement.ts';

/**
 * What becomes of requests that are charged ahead: `taken` first; then `spent`, `returned` to the store, or `stranded`:
 * charged until their window is over, and of no use to anybody.
 */
export type LeaseEvent = 'taken' | 'spent' | 'returned' | 'stranded';

export interface HoldingsOptions {
  readonly settle: Settle;
  /** Milliseconds from any start; a clock that is never set. */
  readonly elapsed: () => number;
  /** An account that was silent for so long gives back what it holds. */
  readonly idleMs: number;
  readonly onLease: (event: LeaseEvent, requests: number) => void;
}

export interface Holdings {
  readonly hold: (account: Account, held: Held) => void;
  /** The block is empty, over, or no longer wanted; what is left goes back. */
  readonly finish: (account: Account, held: Held) => Promise<void>;
  readonly giveBack: (held: Held, left: number) => Promise<void>;
  readonly drop: () => void;
  readonly giveAllBack: () => Promise<void>;
}

const sweepMs = 50;

/** The blocks of this process, and how each ends. */
export function createHoldings({ settle, elapsed, idleMs, onLease }: HoldingsOptions): Holdings {
  const holding = new Set<Account>();
  let timer: NodeJS.Timeout | undefined;

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
      const settled = await settle({ subject, id, used: { requests: (size - left) * shape.cost } });
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
      for (const held of blocksOf(account)) {
        if (isIdle || nowMs >= held.endsAtMs) finish(account, held).catch(rethrow);
      }
    }
    if (holding.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  function hold(account: Account, held: Held): void {
    for (const over of blocksOf(account)) {
      if (elapsed() >= over.endsAtMs) finish(account, over).catch(rethrow);
    }
    if (account.held === undefined) account.held = held;
    else account.next = held;
    holding.add(account);
    timer ??= setInterval(sweep, sweepMs).unref();
  }

  function drop(): void {
    for (const account of holding) {
      for (const held of blocksOf(account)) {
        onLease('spent', held.size - held.left);
        onLease('stranded', held.left);
        held.left = 0;
      }
      account.held = undefined;
      account.next = undefined;
    }
    holding.clear();
  }

  async function giveAllBack(): Promise<void> {
    clearInterval(timer);
    const accounts = [...holding];
    await Promise.all(accounts.flatMap((account) => blocksOf(account).map((held) => finish(account, held))));
  }

  return { hold, finish, giveBack, drop, giveAllBack };
}

function blocksOf({ held, next }: Account): readonly Held[] {
  return [held, next].filter((block) => block !== undefined);
}

/** A bug, and so the end of the process: nobody waits for this promise. */
export function rethrow(error: unknown): never {
  throw error;
}
