import type { Answerer } from './world.ts';

/** An authorizer, and a floor that gives its answers. */
export interface Pair {
  readonly ours: Answerer;
  readonly floor: Answerer;
}

export async function stopAll(pairs: readonly Pair[]): Promise<void> {
  await Promise.all(pairs.flatMap(({ ours, floor }) => [ours.stop(), floor.stop()]));
}
