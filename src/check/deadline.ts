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
    const timer = setTimeout(
      () => {
        try {
          resolve(late());
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      },
      Math.max(0, deadlineAtMs - nowMs),
    );
    waitedFor.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
