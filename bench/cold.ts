import type { EncodeCheck } from './requests.ts';
import { toModel } from './requests.ts';
import type { Effort, SuiteResult } from './suite.ts';
import { median, medianWithInterval, percentile } from './statistics.ts';
import { checkOnce, openChecks, type World } from './world.ts';

const wholeSum = 'tiergate_check_duration_seconds_sum';
const askedSums = ['tiergate_review_duration_seconds_sum', 'tiergate_redis_command_duration_seconds_sum'];

/**
 * Checks of tokens that nobody has seen, one after the other: what each takes above the sum of its own questions, as the
 * authorizer's own metrics time all of them: the Check from its bytes to its answer. The metrics are read between the Checks, which
 * leaves a lone call in a quiet process: what its client waits besides is told by a constant answer that is asked for likewise.
 */
export async function cold(world: World, encode: EncodeCheck, { rounds }: Effort): Promise<SuiteResult> {
  const ours = await world.startAuthorizer();
  const tokens = world.tokensOf('cold').slice(0, rounds * 40);
  const warm = tokens.splice(0, Math.min(60, Math.floor(tokens.length / 2)));
  const [first = ''] = warm;
  const floor = await world.startFloor(await checkOnce(ours, encode(toModel(first))), 'tcp');
  for (const token of warm) await checkOnce(ours, encode(toModel(token)));
  const [checks, constants] = [openChecks(ours), openChecks(floor)];
  const wholeMs: number[] = [];
  const floorMs: number[] = [];
  const seenMs: number[] = [];
  const ownMs: number[] = [];
  for (const token of tokens) {
    const request = encode(toModel(token));
    const before = await ours.metrics();
    floorMs.push(await timed(() => constants.ask(request)));
    await ours.metrics();
    seenMs.push(await timed(() => checks.ask(request)));
    const after = await ours.metrics();
    const more = (name: string) => ((after.get(name) ?? 0) - (before.get(name) ?? 0)) * 1000;
    const took = more(wholeSum);
    wholeMs.push(took);
    ownMs.push(took - askedSums.reduce((sum, name) => sum + more(name), 0));
  }
  checks.close();
  constants.close();
  await Promise.all([ours.stop(), floor.stop()]);
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
      { name: 'a cold Check, from its bytes to its answer, median', value: median(wholeMs), unit: 'ms' },
      { name: 'of it above its own questions, median', value: median(ownMs), unit: 'ms' },
      { name: 'of it above its own questions, p99', value: percentile(ownMs, 0.99), unit: 'ms' },
      { name: 'as its client sees it, median', value: median(seenMs), unit: 'ms' },
      {
        name: 'a constant answer of grpc-js, as that client sees it, median',
        value: median(floorMs),
        unit: 'ms',
      },
    ],
  };
}

/** An answer that denies is no measurement. */
async function timed(ask: () => Promise<Buffer>): Promise<number> {
  const startedAtMs = performance.now();
  const answer = await ask();
  const tookMs = performance.now() - startedAtMs;
  if (answer[1] !== 0) throw new Error('a Check was denied');
  return tookMs;
}
