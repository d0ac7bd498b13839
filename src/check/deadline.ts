/**
 * Waits no longer than the deadline. What was waited for goes on, so that its answer still fills a cache; its
 * late failure is nobody's any more. `late` may throw.
 */
export function bounded<T>(
  waitedFor: Promise<T>,
  deadlineAtMs: number,
  nowMs: number,
  late: () => T,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const giveUp = (): void => {
      try {
        resolve(late());
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    // An answer that waits in a socket because this process was busy elsewhere is read before it is given up.
    const timer = setTimeout(() => setImmediate(giveUp), Math.max(0, deadlineAtMs - nowMs));
    waitedFor.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
