import type { Figure, SuiteResult, Effort } from './suite.ts';
import { authorizerCpu, inTurns, ratio } from './suite.ts';
import type { Answerer, World } from './world.ts';

export const grownSizes = [1000, 1_000_000] as const;

/**
 * The authorizer's own wiring and door with so many tokens remembered, in a process each (grown.ts), asked for them at
 * random. Filled in process: a million TokenReviews over HTTP would take a quarter of an hour.
 */
export async function growth(world: World, effort: Effort): Promise<SuiteResult> {
  const [small, large] = grownSizes;
  const named = (size: number) => `${size.toLocaleString('en')} cached tokens`;
  const filled: Answerer[] = [];
  const figures: Figure[] = [];
  for (const size of grownSizes) {
    const { answerer, bytesAPrincipal } = await world.startGrown(size);
    filled.push(answerer);
    figures.push({
      name: `a cached principal among ${size.toLocaleString('en')}`,
      value: bytesAPrincipal,
      unit: 'bytes',
    });
  }
  const rows = await inTurns(
    world,
    grownSizes.map((size, at) => ({
      name: named(size),
      answerer: filled[at],
      load: (seconds: number) => ({
        kind: 'grpc',
        address: filled[at]?.address ?? '',
        requests: { grown: size },
        inFlight: 100,
        warmUpSeconds: 0.5,
        seconds,
      }),
    })),
    effort,
  );
  for (const { stop } of filled) await stop();
  const bytes = figures.at(-1)?.value ?? Number.NaN;
  return {
    title: 'Growth',
    words:
      'gRPC alone; every request with a token at random out of those that are cached; no limits, whose counters are Redis’s.',
    rows,
    figures,
    verdicts: [
      {
        must: '4',
        words: 'CPU a Check with 1,000,000 cached tokens to that with 1000',
        ratio: ratio(rows, [named(large), named(small)], authorizerCpu),
        bound: { atMost: 1.3 },
      },
      {
        must: '4',
        words: 'bytes a cached principal, among 1,000,000 (as a ratio to 1 KiB)',
        ratio: { median: bytes / 1024, low: bytes / 1024, high: bytes / 1024, pairs: 1 },
        bound: { atMost: 1 },
      },
    ],
  };
}
