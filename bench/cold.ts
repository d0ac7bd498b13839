import type { EncodeCheck } from './requests.ts';
import { toModel } from './requests.ts';
import type { Effort, SuiteResult } from './suite.ts';
import { median, medianWithInterval, percentile } from './statistics.ts';
import { checkOnce, openChecks, type World } from './world.ts';

const reviews = 'tiergate_review_duration_seconds_sum';
const redis = 'tiergate_redis_command_duration_seconds_sum';

/**
 * Checks of tokens that nobody has seen, one after the other: what each takes above the sum of its own questions, as the
 * authorizer's own metrics time them. The metrics are read between the Checks.
 */
export async function cold(world: World, encode: EncodeCheck, { rounds }: Effort): Promise<SuiteResult> {
  const ours = await world.startAuthorizer();
  const tokens = world.tokensOf('cold').slice(0, rounds * 40);
  const warm = tokens.splice(0, Math.min(60, Math.floor(tokens.length / 2)));
  for (const token of warm) await checkOnce(ours, encode(toModel(token)));
  const checks = openChecks(ours);
  const wholeMs: number[] = [];
  const ownMs: number[] = [];
  for (const token of tokens) {
    const before = await ours.metrics();
    const startedAtMs = performance.now();
    const answer = await checks.ask(encode(toModel(token)));
    const tookMs = performance.now() - startedAtMs;
    if (answer[1] !== 0) throw new Error('a cold Check was denied');
    const after = await ours.metrics();
    const askedMs = [reviews, redis].reduce(
      (sum, name) => sum + ((after.get(name) ?? 0) - (before.get(name) ?? 0)) * 1000,
      0,
    );
    wholeMs.push(tookMs);
    ownMs.push(tookMs - askedMs);
  }
  checks.close();
  await ours.stop();
  const own = median(ownMs);
  return {
    title: 'Cold',
    words: `${tokens.length} tokens that were never seen, one Check after the other; each asks for a TokenReview, a SubjectAccessReview and Redis.`,
    rows: [],
    verdicts: [
      {
        must: '3',
        words: 'milliseconds of a cold Check above its own questions, median (as a ratio to 1.5 ms)',
        ratio: medianWithInterval(ownMs.map((value) => value / 1.5)),
        bound: { atMost: 1 },
      },
    ],
    figures: [
      { name: 'a cold Check, median', value: median(wholeMs), unit: 'ms' },
      { name: 'above its own questions, median', value: own, unit: 'ms' },
      { name: 'above its own questions, p99', value: percentile(ownMs, 0.99), unit: 'ms' },
    ],
  };
}
