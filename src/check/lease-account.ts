import type { TakeBlock } from './block.ts';
import { type LeaseShape, leaseDivisor, blockOf, requestsLeft } from './lease-shape.ts';
import type { Charge, Decision, WindowState } from './limit.ts';

/** Requests that were charged ahead. */
export interface Held {
  readonly id: string;
  readonly subject: string;
  readonly shape: LeaseShape;
  readonly size: number;
  /** Requests that may still be let pass; 0 from the moment on that it is given back. */
  left: number;
  /** By the clock that is never set. */
  readonly takenAtMs: number;
  readonly endsAtMs: number;
  /** As they stood once it was taken. */
  readonly windows: readonly WindowState[];
}

/** How one subject fares with one set of limits. */
export interface Account {
  readonly subject: string;
  readonly shape: LeaseShape;
  /** Spent first. */
  held: Held | undefined;
  /** Taken before the first is empty. */
  next: Held | undefined;
  /** The call under way for a busy subject, of which others wait to hear. */
  taking: Promise<Held | undefined> | undefined;
  /** How many wait so. */
  queued: number;
  /** Requests that the next block is to hold. */
  want: number;
  /** For how many requests there was room when the store last answered; undefined before that. */
  room: number | undefined;
  lastAtMs: number;
  /** When a block may be taken ahead of need again. */
  aheadAtMs: number;
  denial: { readonly decision: Decision; readonly sinceMs: number; readonly untilMs: number } | undefined;
}

/**
 * Accounts by charges and subject; the charges are the same array for as long as the limits are, so that under changed
 * limits everybody begins anew. Of more than `maxAccounts` the oldest is forgotten; what it holds is its holder's still.
 */
export function createAccounts(maxAccounts: number) {
  const byCharges = new WeakMap<readonly Charge[], Map<string, Account>>();

  return (charges: readonly Charge[], subject: string, shape: LeaseShape): Account => {
    let accounts = byCharges.get(charges);
    if (accounts === undefined) {
      accounts = new Map();
      byCharges.set(charges, accounts);
    }
    let account = accounts.get(subject);
    if (account === undefined) {
      const [oldest] = accounts.size >= maxAccounts ? accounts.keys() : [];
      if (oldest !== undefined) accounts.delete(oldest);
      account = createAccount(subject, shape);
      accounts.set(subject, account);
    }
    return account;
  };
}

function createAccount(subject: string, shape: LeaseShape): Account {
  return {
    subject,
    shape,
    held: undefined,
    next: undefined,
    taking: undefined,
    queued: 0,
    want: 1,
    room: undefined,
    lastAtMs: Number.NEGATIVE_INFINITY,
    aheadAtMs: Number.NEGATIVE_INFINITY,
    denial: undefined,
  };
}

/** What the store said, also of a block: how much room there is. */
export function learn(account: Account, windows: readonly WindowState[]): void {
  account.room = requestsLeft(windows, account.shape.cost);
}

/**
 * Requests that the next block may hold: those that wait for it, since they need nothing kept, or so many that what is
 * in hand and what is taken is a 32nd of the room at most. Below 2: none.
 */
export function blockSize({ want, room = 0, held, queued }: Account): number {
  const ahead = Math.min(want, Math.floor(room / leaseDivisor) - (held?.left ?? 0));
  const size = blockOf(Math.max(ahead, Math.min(queued + 1, room)));
  return size < 2 ? 0 : size;
}

/** The block to spend from now, if there is one. */
export function spendable(account: Account, nowMs: number): Held | undefined {
  const { held, next } = account;
  if (held !== undefined && held.left > 0 && nowMs < held.endsAtMs) return held;
  if (next !== undefined && next.left > 0 && nowMs < next.endsAtMs) return next;
  return undefined;
}

/** What a request is told that was let pass from a block. What is left in it is room for its subject. */
export function spentDecision({ windows, left, shape, takenAtMs }: Held, nowMs: number): Decision {
  const states: WindowState[] = [];
  for (const { window, remaining, resetAfterMs } of windows) {
    states.push({
      window,
      remaining: remaining + left * shape.cost,
      resetAfterMs: Math.max(0, Math.ceil(resetAfterMs - (nowMs - takenAtMs))),
      exceeded: false,
    });
  }
  return { admitted: true, windows: states, retryAfterMs: undefined };
}

/** How long a denial is remembered, at most, in milliseconds. */
const denialMs = 1000;

export function rememberDenial(account: Account, decision: Decision, nowMs: number): void {
  const forMs = Math.min(decision.retryAfterMs ?? denialMs, denialMs);
  account.denial = { decision, sinceMs: nowMs, untilMs: nowMs + forMs };
}

/** The denial that still holds, with what is left of its time. */
export function recallDenial(account: Account, nowMs: number): Decision | undefined {
  if (account.denial === undefined) return undefined;
  const { decision, sinceMs, untilMs } = account.denial;
  if (nowMs >= untilMs) {
    account.denial = undefined;
    return undefined;
  }
  const { retryAfterMs } = decision;
  if (retryAfterMs === undefined) return decision;
  return { ...decision, retryAfterMs: Math.max(1, Math.ceil(retryAfterMs - (nowMs - sinceMs))) };
}

export interface TakeOptions {
  readonly takeBlock: TakeBlock;
  readonly id: string;
  readonly size: number;
  readonly deadlineAtMs: number;
  readonly aheadMs: number;
  readonly elapsed: () => number;
}

/**
 * Takes a block. Resolves to undefined where there was no room for it. Its time is counted from before the sending, by a
 * clock that is never set: it is over here before it is over where it was charged.
 */
export async function takeHeld(account: Account, options: TakeOptions): Promise<Held | undefined> {
  const { takeBlock, id, size, deadlineAtMs, aheadMs, elapsed } = options;
  const { subject, shape } = account;
  const takenAtMs = elapsed();
  const block = await takeBlock({ subject, id, charges: shape.ofMany(size), deadlineAtMs, aheadMs });
  learn(account, block.windows);
  if (!block.admitted) return undefined;
  const endsAtMs = takenAtMs + block.goodForMs;
  return { id, subject, shape, size, left: size, takenAtMs, endsAtMs, windows: block.windows };
}
