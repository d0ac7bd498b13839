import { expect, it } from 'vitest';
import { fuzzCheckRequest } from './fuzz-check-request.ts';
import { loadEnvoyMessages } from './messages.ts';

it('reads or refuses 1,000,000 generated and mutated CheckRequests', async () => {
  const messages = await loadEnvoyMessages();
  const seed = Date.now() % 1_000_000;
  let refused = 0;
  // In parts, each with a seed of its own, so that one that failed is soon found again.
  for (let part = 0; part < 100; part += 1) refused += fuzzCheckRequest(messages, 10_000, seed + part);
  console.log(`seeds ${seed} to ${seed + 99}: ${refused} of 950000 mutants refused`);
  expect(refused).toBeGreaterThan(200_000);
});
