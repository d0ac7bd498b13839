import { LRUCache } from 'lru-cache';
import { DependencyError, isDependencyError } from '../dependency-error.ts';
import { createTokenBucket, type TokenBucket } from './token-bucket.ts';

/** Why a question was not asked: the source's share, the length of the queue, or the time in it. */
export type BudgetRefusal = 'source' | 'queue' | 'wait';

export interface ReviewBudgetOptions {
  /** Questions under way at once. */
  readonly concurrency: number;
  /** Questions a second, for all together; more wait in the queue. */
  readonly perSecond: number;
  /** Questions a second for one source; more are refused at once. */
  readonly perSourcePerSecond: number;
  /** Questions that wait. When it is full, the source that has most in it loses its newest. */
  readonly queue: number;
  /** The longest time in the queue, in milliseconds. */
  readonly maxWaitMs: number;
  readonly now: () => number;
  readonly observe: (refusal: BudgetRefusal) => void;
}

/**
 * Asks when it is its turn. Rejects with what `review` rejects with, or with a DependencyError that
 * {@link isOverBudget} knows: then nothing was asked.
 */
export type SpendBudget = <Answer>(source: string, review: () => Promise<Answer>) => Promise<Answer>;

export interface ReviewBudget {
  readonly spend: SpendBudget;
  readonly inFlight: () => number;
  readonly queued: () => number;
}

interface Job {
  readonly start: () => void;
  readonly refuse: (refusal: BudgetRefusal) => void;
}

/** Shares of sources are kept for so many; one that comes back later begins anew. */
const maxSources = 10_000;

/**
 * What we may ask of an API server that others need too. Who waits is served source by source in turn, so that a
 * flood from one of them delays another by one question, not by all of the flood's.
 */
export function createReviewBudget(options: ReviewBudgetOptions): ReviewBudget {
  const { concurrency, perSecond, perSourcePerSecond, maxWaitMs, now, observe } = options;
  const rate = createTokenBucket(perSecond, now);
  const shareBySource = new LRUCache<string, TokenBucket>({ max: maxSources });
  /** In the order in which sources have their turn. */
  const waitingBySource = new Map<string, Job[]>();
  let queued = 0;
  let inFlight = 0;
  let pumping: NodeJS.Timeout | undefined;

  function shareOf(source: string): TokenBucket {
    let share = shareBySource.get(source);
    if (share === undefined) {
      share = createTokenBucket(perSourcePerSecond, now);
      shareBySource.set(source, share);
    }
    return share;
  }

  function refuse(refusal: BudgetRefusal, retryAfterMs: number): DependencyError {
    observe(refusal);
    return new DependencyError(budgetName, 'overloaded', {
      detail: `the budget of questions is spent (${refusal})`,
      retryAfterMs,
    });
  }

  function makeRoomFor(source: string): boolean {
    if (queued < options.queue) return true;
    let longest = source;
    let length = waitingBySource.get(source)?.length ?? 0;
    for (const [other, jobs] of waitingBySource) {
      // One more than the newcomer would have: else the two would push each other out in turn.
      if (jobs.length > length + 1) [longest, length] = [other, jobs.length];
    }
    const jobs = waitingBySource.get(longest);
    if (longest === source || jobs === undefined) return false;
    const victim = jobs.at(-1);
    if (victim !== undefined) remove(longest, victim);
    victim?.refuse('queue');
    return true;
  }

  function remove(source: string, job: Job): void {
    const jobs = waitingBySource.get(source);
    const at = jobs?.indexOf(job) ?? -1;
    if (jobs === undefined || at < 0) return;
    jobs.splice(at, 1);
    queued -= 1;
    if (jobs.length === 0) waitingBySource.delete(source);
  }

  function pump(): void {
    // `start` changes both.
    // oxlint-disable-next-line no-unmodified-loop-condition
    while (queued > 0 && inFlight < concurrency) {
      const waitMs = rate.waitMs();
      if (waitMs > 0) {
        pumping ??= setTimeout(() => {
          pumping = undefined;
          pump();
        }, waitMs);
        return;
      }
      const [turn] = waitingBySource;
      if (turn === undefined) return;
      const [source, jobs] = turn;
      const [job] = jobs;
      if (job === undefined) return;
      remove(source, job);
      if (jobs.length > 0) {
        // To the end of the line.
        waitingBySource.delete(source);
        waitingBySource.set(source, jobs);
      }
      job.start();
    }
  }

  async function ask<Answer>(review: () => Promise<Answer>): Promise<Answer> {
    rate.take();
    inFlight += 1;
    try {
      return await review();
    } finally {
      inFlight -= 1;
      pump();
    }
  }

  function wait<Answer>(source: string, review: () => Promise<Answer>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        remove(source, job);
        job.refuse('wait');
      }, maxWaitMs);
      const job: Job = {
        start() {
          clearTimeout(timer);
          resolve(ask(review));
        },
        refuse(refusal) {
          clearTimeout(timer);
          reject(refuse(refusal, retryMs));
        },
      };
      const jobs = waitingBySource.get(source);
      if (jobs === undefined) waitingBySource.set(source, [job]);
      else jobs.push(job);
      queued += 1;
      pump();
    });
  }

  return {
    spend(source, review) {
      const from = networkOf(source);
      const share = shareOf(from);
      const waitMs = share.waitMs();
      if (waitMs > 0) return Promise.reject(refuse('source', Math.max(retryMs, waitMs)));
      if (queued === 0 && inFlight < concurrency && rate.waitMs() === 0) {
        share.take();
        return ask(review);
      }
      if (!makeRoomFor(from)) return Promise.reject(refuse('queue', retryMs));
      share.take();
      return wait(from, review);
    },
    inFlight: () => inFlight,
    queued: () => queued,
  };
}

const retryMs = 1_000;
const budgetName = 'reviews';

/** Whether it was our own budget that kept a question from being asked. */
export function isOverBudget(error: unknown): error is DependencyError {
  return isDependencyError(error) && error.dependency === budgetName;
}

/** Whoever has one IPv6 address has a /64 of them (RFC 6177): they share. An IPv4 address stands for itself. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const end = tail === '' ? [] : tail.split(':');
    while (groups.length + end.length < 8) groups.push('0');
    groups.push(...end);
  }
  return groups.slice(0, 4).join(':');
}
