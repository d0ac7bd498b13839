import { expect, it } from 'vitest';
import { loadEnvoyMessages } from '../envoy/messages.ts';
import { fuzzCheck } from './fuzz-check.ts';
import { createFuzzCluster } from './fuzz-world.ts';

it('lets nothing pass of 1,000,000 generated requests that should not, and answers every one', async () => {
  const world = { messages: await loadEnvoyMessages(), cluster: await createFuzzCluster() };
  const seed = Date.now() % 1_000_000;
  let passed = 0;
  // In parts, each with doors and a seed of its own, so that one that failed is soon found again.
  for (let part = 0; part < 50; part += 1) {
    const tally = await fuzzCheck(world, 20_000, seed + part);
    passed += tally['allowed model'] ?? 0;
  }
  console.log(`seeds ${seed} to ${seed + 49}: ${passed} of 1000000 reached a model`);
  expect(passed).toBeGreaterThan(75_000);
});
