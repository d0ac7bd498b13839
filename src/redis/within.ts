import { DependencyError } from '../dependency-error.ts';

/**
 * One timer a call. ioredis' own time-out starts when its pipeline is written, which may be a whole round trip
 * later.
 */
export function within<Answer>(timeoutMs: number, answer: Promise<Answer>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(lateReply('no reply'));
    // A reply that waits in the socket while this process was busy elsewhere is read first.
    const timer = setTimeout(() => setImmediate(giveUp), timeoutMs);
    answer.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}

export function lateReply(detail: string): DependencyError {
  return new DependencyError('redis', 'timeout', { detail });
}
