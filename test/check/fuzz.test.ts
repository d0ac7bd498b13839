import { expect, it } from 'vitest';
import { loadEnvoyMessages } from '../envoy/messages.ts';
import { fuzzCheck } from './fuzz-check.ts';
import { createFuzzCluster } from './fuzz-world.ts';

/** Some, so that `npm test` stays quick; fuzz.real.ts has 20,000. */
it('lets nothing pass of 4,000 generated requests that should not, and answers every one', async () => {
  const world = { messages: await loadEnvoyMessages(), cluster: await createFuzzCluster() };
  const tally = await fuzzCheck(world, 4_000, 7);
  expect(tally['allowed model']).toBeGreaterThan(300);
  expect(Object.keys(tally).length).toBeGreaterThan(15);
}, 30_000);
