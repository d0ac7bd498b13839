import { expect, it } from 'vitest';
import { fuzzCheckRequest } from './fuzz-check-request.ts';
import { loadEnvoyMessages } from './messages.ts';

/** Some, so that `npm test` stays quick; fuzz.real.ts has 20,000. */
it('reads or refuses 4,000 generated and mutated CheckRequests', async () => {
  const refused = fuzzCheckRequest(await loadEnvoyMessages(), 4_000, 3);
  // Neither all nor none of the mutants: otherwise half of the decoder was not looked at.
  expect(refused).toBeGreaterThan(800);
  expect(refused).toBeLessThan(3_400);
});
