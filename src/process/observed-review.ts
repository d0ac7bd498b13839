import { isDependencyError } from '../dependency-error.ts';
import type { Metrics, ReviewKind, ReviewResult } from './metrics.ts';

export interface ObservedReviewOptions<Answer> {
  readonly kind: ReviewKind;
  readonly observe: Metrics['observeReview'];
  /** What an answer is called in the metric. */
  readonly resultOf: (answer: Answer) => 'allowed' | 'denied';
  /** In milliseconds, from any start; never steps back. */
  readonly elapsed: () => number;
}

/** A port that asks the API server → the same port, counted and timed. Answers and faults pass unchanged. */
export function observedReview<Question extends readonly unknown[], Answer>(
  review: (...question: Question) => Promise<Answer>,
  options: ObservedReviewOptions<Answer>,
): (...question: Question) => Promise<Answer> {
  const { kind, observe, resultOf, elapsed } = options;
  return async (...question) => {
    const startedAtMs = elapsed();
    let result: ReviewResult = 'bug';
    try {
      const answer = await review(...question);
      result = resultOf(answer);
      return answer;
    } catch (error) {
      if (isDependencyError(error)) result = error.code;
      throw error;
    } finally {
      observe(kind, result, (elapsed() - startedAtMs) / 1000);
    }
  };
}
